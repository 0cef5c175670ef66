//! What lower classes get while higher ones wait.
//!
//! Between each class and those beneath it there is a level of two phases, whose budgets are spent only while both sides want the firmware:
//!
//! ```text
//!   ├──────── above: (share - 1) quanta ────────┤─ below: 1 ─┤──────── above ────────┤ …
//! ```
//!
//! A phase is over when the time that its side had the turn, with what it was granted and has yet to install, fills its budget. A side that
//! wants nothing gives its time to the other; a higher class that returns finds its own phase.
//!
//! # The bound
//!
//! Let the share be s. **The classes beneath k others get, together, at least one quantum of every sᵏ while one of them waits.** For k = 0 they
//! are all classes. Beneath k + 1, the class above them spends at most s − 1 of the quanta that by induction are one of every sᵏ before its level
//! turns to those beneath, or it wants nothing, which only helps them. So they get at least one of every s · sᵏ.
//!
//! Of these quanta a class leaves one of every s to those beneath it in turn, and has the rest. With the share of 8 and all three waiting, High has 7
//! of 8, Normal 7 of 64 and Low 1 of 64. Low waits for at most sᵏ − 1 quanta, and a class that has others beneath it, whose quantum may fall into its
//! wait, for 2sᵏ − 1: High for 1, Normal for 15, Low for 63.
//!
//! A phase is made of whole pages, to the nearest, and has at least one; it exceeds its budget by half a page and by what the measure of a page
//! errs. What was granted before the other side came is used up first: one quantum more, once.
//!
//! **Invariant:** a class that wants the firmware alone gets all of it.

use std::time::Duration;

use crate::Class;

/// Which classes want the firmware, by index.
pub(crate) type Wanting = [bool; Class::ALL.len()];

/// The levels: the first between High and the others, the second between Normal and Low.
#[derive(Debug)]
pub(crate) struct Shares {
    levels: [Level; Class::ALL.len() - 1],
    above: Duration,
    below: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    phase: Side,
    spent: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Above,
    Below,
}

impl Shares {
    pub(crate) fn new(quantum: Duration, share: u32) -> Self {
        Self {
            levels: [Level {
                phase: Side::Above,
                spent: Duration::ZERO,
            }; Class::ALL.len() - 1],
            above: quantum.saturating_mul(share.saturating_sub(1)),
            below: quantum,
        }
    }

    /// `class` had the turn for `time`.
    pub(crate) fn charge(&mut self, class: Class, wanting: Wanting, time: Duration) {
        for (index, level) in self.levels.iter_mut().enumerate() {
            if side(class, index) == Some(level.phase) && is_contended(wanting, index) {
                level.spent = level.spent.saturating_add(time);
            }
        }
    }

    /// The class whose turn it is next, where `holder` has the turn and will for `drain` more. `None` if nobody wants it. `page` is the time of
    /// one, half of which is not worth a grant.
    pub(crate) fn choose(
        &mut self,
        wanting: Wanting,
        holder: Option<Class>,
        drain: Duration,
        page: Duration,
    ) -> Option<Class> {
        for (index, class) in Class::ALL.into_iter().enumerate() {
            let above = wanting[index];
            let Some(level) = self.levels.get(index).copied() else {
                return above.then_some(class);
            };
            if above && is_contended(wanting, index) {
                let held = holder.and_then(|class| side(class, index)) == Some(level.phase);
                let spent = level
                    .spent
                    .saturating_add(if held { drain } else { Duration::ZERO });
                let is_over =
                    !spent.is_zero() && spent.saturating_add(page / 2) >= self.budget(level.phase);
                let next = if is_over { level.turned() } else { level };
                self.levels[index] = next;
                match next.phase {
                    Side::Above => return Some(class),
                    Side::Below => {}
                }
            } else if above {
                return Some(class);
            } else if level.phase == Side::Below {
                self.levels[index] = level.turned();
            }
        }
        None
    }

    /// How much of its phases is left to `class`, which has the turn and will for `drain` more. `None` if nobody else wants it.
    pub(crate) fn room(&self, class: Class, wanting: Wanting, drain: Duration) -> Option<Duration> {
        let levels = self.levels.iter().enumerate();
        levels
            .filter(|(index, level)| {
                side(class, *index) == Some(level.phase) && is_contended(wanting, *index)
            })
            .map(|(_, level)| {
                self.budget(level.phase)
                    .saturating_sub(level.spent)
                    .saturating_sub(drain)
            })
            .min()
    }

    /// When `class` will have had `own` of the firmware's time, if the classes want what is in `work`, `own` included, and nobody arrives.
    /// `drained` is what `holder` will have had before that, and is in neither. `page` is the time of one, of which phases are made.
    pub(crate) fn finish(
        &self,
        work: [Duration; Class::ALL.len()],
        class: Class,
        own: Duration,
        holder: Option<Class>,
        drained: Duration,
        page: Duration,
    ) -> Duration {
        let whole = |budget| whole_pages(budget, page);
        let mut elapsed = own;
        for (index, level) in self.levels.iter().enumerate().rev() {
            let Some(own_side) = side(class, index) else {
                continue;
            };
            let beneath = work[index + 1..]
                .iter()
                .fold(Duration::ZERO, |sum, more| sum.saturating_add(*more));
            let held = holder.and_then(|class| side(class, index)) == Some(level.phase);
            let spent = level
                .spent
                .saturating_add(if held { drained } else { Duration::ZERO });
            let is_fresh = spent.is_zero();
            let left = whole(self.budget(level.phase).saturating_sub(spent));
            let (phase, left) = if left.is_zero() && !is_fresh {
                let phase = level.turned().phase;
                (phase, whole(self.budget(phase)).max(page))
            } else {
                (level.phase, left.max(page))
            };
            let (others, other_side) = match own_side {
                Side::Above => (beneath, Side::Below),
                Side::Below => (work[index], Side::Above),
            };
            let (own_budget, other_budget) = (
                whole(self.budget(own_side)).max(page),
                whole(self.budget(other_side)).max(page),
            );
            let between = if phase == own_side {
                times(
                    other_budget,
                    turns_away(elapsed.saturating_sub(left), own_budget),
                )
            } else {
                let again = turns_away(elapsed.saturating_sub(own_budget), own_budget);
                left.saturating_add(times(other_budget, again))
            };
            elapsed = elapsed.saturating_add(between.min(others));
        }
        elapsed
    }

    fn budget(&self, phase: Side) -> Duration {
        match phase {
            Side::Above => self.above,
            Side::Below => self.below,
        }
    }
}

impl Level {
    /// The other phase, unspent.
    fn turned(self) -> Self {
        let phase = match self.phase {
            Side::Above => Side::Below,
            Side::Below => Side::Above,
        };
        Self {
            phase,
            spent: Duration::ZERO,
        }
    }
}

/// On which side of a level a class is; `None` for one that is above it altogether.
fn side(class: Class, level: usize) -> Option<Side> {
    match class.index().checked_sub(level)? {
        0 => Some(Side::Above),
        _ => Some(Side::Below),
    }
}

/// Whether both sides of a level want the firmware.
fn is_contended(wanting: Wanting, level: usize) -> bool {
    wanting[level] && wanting[level + 1..].contains(&true)
}

/// How many more phases of `budget` it takes to have `time`, and so how often the other side goes before.
fn turns_away(time: Duration, budget: Duration) -> u128 {
    time.as_nanos().div_ceil(budget.as_nanos().max(1))
}

fn times(budget: Duration, turns: u128) -> Duration {
    let nanos = budget.as_nanos().saturating_mul(turns);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A time in whole pages, to the nearest.
fn whole_pages(time: Duration, page: Duration) -> Duration {
    let page = page.as_nanos().max(1);
    times(
        Duration::from_nanos(1),
        (time.as_nanos() + page / 2) / page * page,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: Duration = Duration::from_millis(1);

    /// Serves page by page what is in `work`, and says when each class had each of its pages. Leaves the levels as they are then.
    fn serve(shares: &mut Shares, mut work: [u32; 3], pages: u32) -> [Vec<Duration>; 3] {
        let mut served = [const { Vec::new() }; 3];
        let mut holder = None;
        for now in 1..=pages {
            let wanting = work.map(|pages| pages > 0);
            let Some(class) = shares.choose(wanting, holder, Duration::ZERO, PAGE) else {
                break;
            };
            shares.charge(class, wanting, PAGE);
            work[class.index()] -= 1;
            served[class.index()].push(PAGE * now);
            holder = Some(class);
        }
        served
    }

    fn shares() -> Shares {
        Shares::new(PAGE * 5, 4)
    }

    #[test]
    fn a_round_is_three_quanta_above_and_one_beneath() {
        let served = serve(&mut shares(), [100, 100, 0], 40);
        let beneath: Vec<_> = served[1].iter().map(|at| at.as_millis()).collect();
        assert_eq!(beneath, [16, 17, 18, 19, 20, 36, 37, 38, 39, 40]);
    }

    #[test]
    fn a_class_that_returns_goes_before_those_beneath_it() {
        let mut shares = shares();
        serve(&mut shares, [100, 100, 100], 17);
        serve(&mut shares, [0, 0, 100], 30);
        assert_eq!(
            serve(&mut shares, [1, 1, 1], 3).map(|at| at[0].as_millis()),
            [1, 2, 3]
        );
    }

    #[test]
    fn what_is_outstanding_fills_the_phase() {
        let mut shares = shares();
        let all = [true, true, false];
        assert_eq!(
            shares.choose(all, Some(Class::High), PAGE * 14, PAGE),
            Some(Class::High)
        );
        assert_eq!(shares.room(Class::High, all, PAGE * 14), Some(PAGE));
        assert_eq!(
            shares.choose(all, Some(Class::High), PAGE * 15, PAGE),
            Some(Class::Normal)
        );
        assert_eq!(shares.room(Class::High, all, Duration::ZERO), None);
        assert_eq!(
            shares.room(Class::Normal, all, Duration::ZERO),
            Some(PAGE * 5)
        );
    }

    #[test]
    fn a_quantum_shorter_than_a_page_still_lets_every_class_live() {
        let mut shares = Shares::new(PAGE / 10, 4);
        let served = serve(&mut shares, [100, 100, 100], 40);
        assert!(served.iter().all(|at| !at.is_empty()), "{served:?}");
    }

    proptest! {
        #[test]
        fn what_is_foretold_is_what_is_served(
            before in prop::array::uniform3(0..60_u32),
            pages in 0..90_u32,
            work in prop::array::uniform3(0..80_u32),
        ) {
            let mut shares = shares();
            serve(&mut shares, before, pages);
            let work_time = work.map(|pages| PAGE * pages);
            let foretold = Class::ALL.map(|class| {
                let own = 1..=work[class.index()];
                let finish = |own| shares.finish(work_time, class, PAGE * own, None, Duration::ZERO, PAGE);
                own.map(finish).collect::<Vec<_>>()
            });
            let served = serve(&mut shares, work, u32::MAX);
            prop_assert_eq!(foretold, served);
        }
    }
}
