//! Which of the pages that both sequences have are in another order.
//!
//! **Invariant:** no smaller number of pages could be moved to give both the same order.

use std::collections::BTreeMap;

/// For runs in the order of one sequence, each with its place in the other and its pages: which of them stay where they are. Those that do are in the
/// same order in both, and together have as many pages as possible.
///
/// No place comes twice, and every run has a page.
pub(super) fn unmoved(runs: &[(u64, u64)]) -> Vec<bool> {
    // By the place of its last run, the heaviest chain that ends there: its pages and its last run. What is later here is also heavier.
    let mut chains: BTreeMap<u64, (u64, usize)> = BTreeMap::new();
    let mut previous = Vec::with_capacity(runs.len());
    for (nth, &(place, pages)) in runs.iter().enumerate() {
        let before = chains.range(..place).next_back().map(|(_, chain)| *chain);
        let heavy = before.map_or(0, |(heavy, _)| heavy).saturating_add(pages);
        while let Some((&later, &(other, _))) = chains.range(place..).next()
            && other <= heavy
        {
            chains.remove(&later);
        }
        chains.insert(place, (heavy, nth));
        previous.push(before.map(|(_, nth)| nth));
    }
    let mut stays = vec![false; runs.len()];
    let mut next = chains.last_key_value().map(|(_, (_, nth))| *nth);
    while let Some(nth) = next {
        stays.get_mut(nth).into_iter().for_each(|it| *it = true);
        next = previous.get(nth).copied().flatten();
    }
    stays
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stay(places: &[u64]) -> Vec<bool> {
        unmoved(&places.iter().map(|place| (*place, 1)).collect::<Vec<_>>())
    }

    #[test]
    fn one_page_that_went_to_the_end_is_the_only_one_that_moved() {
        assert_eq!(stay(&[3, 0, 1, 2]), [false, true, true, true]);
        assert_eq!(stay(&[1, 2, 3, 0]), [true, true, true, false]);
        assert_eq!(stay(&[0, 1, 2]), [true; 3]);
        assert_eq!(stay(&[]), [] as [bool; 0]);
    }

    #[test]
    fn the_longer_run_stays() {
        assert_eq!(unmoved(&[(100, 5), (0, 100)]), [false, true]);
        assert_eq!(unmoved(&[(5, 100), (0, 5)]), [true, false]);
    }

    proptest! {
        #[test]
        fn no_chain_of_increasing_places_is_heavier(
            weights in prop::collection::vec(1_u64..5, 0..10),
            keys in prop::collection::vec(any::<u32>(), 10),
        ) {
            let mut places: Vec<u64> = (0..weights.len() as u64).collect();
            places.sort_by_key(|place| keys[usize::try_from(*place).unwrap()]);
            let runs: Vec<_> = places.into_iter().zip(weights).collect();
            let stays = unmoved(&runs);
            let weight_if_increasing = |chosen: &dyn Fn(usize) -> bool| {
                let chain: Vec<_> = (0..runs.len()).filter(|nth| chosen(*nth)).map(|nth| runs[nth]).collect();
                chain.is_sorted_by(|a, b| a.0 < b.0).then(|| chain.iter().map(|run| run.1).sum::<u64>())
            };
            let best = (0..1_usize << runs.len()).filter_map(|set| weight_if_increasing(&|nth| set >> nth & 1 == 1)).max();
            prop_assert_eq!(weight_if_increasing(&|nth| stays[nth]), best);
        }
    }
}
