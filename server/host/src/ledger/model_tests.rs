//! Random histories of a ledger against the plainest model of it: a list of pages in order of installation.
//!
//! **Invariant:** the model shares no code with the ledger; it searches its list from end to end for every answer.

use proptest::collection::vec;
use proptest::prelude::*;
use stagepages_kvm::{Gfn, GfnRange, PageType};

use super::{Entry, Ledger, LedgerError, PageHash, Run};

/// One page of the model; its place in the list is its ordinal.
#[derive(Clone, Copy, Debug)]
struct Page {
    gfn: Gfn,
    page_type: PageType,
    hash: PageHash,
    uniform: bool,
}

#[derive(Clone, Debug)]
struct Append {
    range: GfnRange,
    page_type: PageType,
    /// Of the first page; of every page if `uniform`.
    seed: u8,
    uniform: bool,
}

#[derive(Debug, Default)]
struct Model {
    pages: Vec<Page>,
}

impl Append {
    fn pages(&self) -> Vec<Page> {
        let hash = |page: usize| {
            let [step, ..] = page.to_le_bytes();
            let step = if self.uniform { 0 } else { step };
            PageHash([self.seed.wrapping_add(step); 32])
        };
        let page = |(i, gfn)| Page {
            gfn,
            page_type: self.page_type,
            hash: hash(i),
            uniform: self.uniform,
        };
        self.range.iter().enumerate().map(page).collect()
    }

    fn apply(&self, ledger: &mut Ledger) -> Result<(), LedgerError> {
        if self.uniform {
            return ledger.append_uniform(self.range, self.page_type, PageHash([self.seed; 32]));
        }
        let hashes: Vec<PageHash> = self.pages().iter().map(|page| page.hash).collect();
        ledger.append(self.range, self.page_type, &hashes)
    }
}

impl Model {
    fn get(&self, gfn: Gfn) -> Option<Entry> {
        let ordinal = self.pages.iter().position(|page| page.gfn == gfn)?;
        let Page {
            page_type, hash, ..
        } = self.pages[ordinal];
        Some(Entry {
            page_type,
            hash,
            ordinal: ordinal as u64,
        })
    }

    fn first_installed(&self, range: GfnRange) -> Option<Gfn> {
        range.iter().find(|gfn| self.get(*gfn).is_some())
    }

    /// The runs from an ordinal on: a page goes on with the run before it if it is its neighbour in every respect.
    fn runs(&self, from: usize) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (ordinal, page) in self.pages.iter().enumerate().skip(from) {
            let continues = ordinal > from && {
                let before = self.pages[ordinal - 1];
                page.gfn.get() == before.gfn.get() + 1
                    && page.page_type == before.page_type
                    && page.uniform == before.uniform
                    && (!page.uniform || page.hash == before.hash)
            };
            if continues {
                let last = runs.last_mut().unwrap();
                last.range = GfnRange::new(last.range.start(), last.range.pages() + 1).unwrap();
            } else {
                runs.push(Run {
                    range: GfnRange::new(page.gfn, 1).unwrap(),
                    page_type: page.page_type,
                    first_ordinal: ordinal as u64,
                    uniform: page.uniform,
                });
            }
        }
        runs
    }

    fn runs_by_gpa(&self, from: Gfn) -> Vec<Run> {
        let mut runs = self.runs(0);
        runs.sort_by_key(|run| run.range.start());
        let cut = |run: Run| run.skip(from.get().saturating_sub(run.range.start().get()));
        runs.into_iter().filter_map(cut).collect()
    }
}

/// Two neighbourhoods, so that appends meet often: the bottom of memory, and its very top, with ranges longer than a chunk.
fn ranges() -> impl Strategy<Value = GfnRange> {
    let low = (0..64_u64, 1..=8_u64);
    let high = (Gfn::MAX.get() - 1000..=Gfn::MAX.get(), 1..=600_u64);
    prop_oneof![3 => low, 1 => high].prop_map(|(start, pages)| {
        let start = Gfn::new(start).unwrap();
        GfnRange::new(start, pages.min(Gfn::MAX.get() - start.get() + 1)).unwrap()
    })
}

fn appends() -> impl Strategy<Value = Append> {
    // Few types and hashes, so that neighbours often go on with each other's run.
    let types = prop_oneof![
        4 => Just(PageType::Normal),
        2 => Just(PageType::Zero),
        1 => Just(PageType::Unmeasured),
    ];
    (ranges(), types, 0..2_u8, any::<bool>()).prop_map(|(range, page_type, seed, uniform)| Append {
        range,
        page_type,
        seed,
        uniform,
    })
}

/// Random appends, and as often one that goes on where the one before it ended.
fn histories() -> impl Strategy<Value = Vec<Append>> {
    vec((appends(), any::<bool>()), 1..24).prop_map(|appends| {
        let mut history: Vec<Append> = Vec::new();
        for (mut append, go_on) in appends {
            if let Some(last) = history.last().filter(|_| go_on) {
                let next = last.range.last().checked_add(1);
                let range = next.and_then(|next| GfnRange::new(next, append.range.pages()).ok());
                append.range = range.unwrap_or(append.range);
            }
            history.push(append);
        }
        history
    })
}

/// Every page of the ledger in order, read through runs and hashes alone.
fn dump(ledger: &Ledger) -> Vec<(Run, Vec<PageHash>)> {
    let with_hashes = |run| (run, ledger.hashes(&run).collect());
    ledger.runs_by_installation(0).map(with_hashes).collect()
}

proptest! {
    #[test]
    fn answers_as_a_plain_list_of_pages_does(
        history in histories(),
        ranges in vec(ranges(), 16),
        position in any::<prop::sample::Index>(),
    ) {
        let mut ledger = Ledger::new([7; 32]);
        let mut model = Model::default();
        for append in &history {
            let first = model.first_installed(append.range);
            let before = first.map(|_| dump(&ledger));
            match first {
                None => {
                    prop_assert_eq!(append.apply(&mut ledger), Ok(()));
                    model.pages.extend(append.pages());
                }
                Some(gfn) => {
                    prop_assert_eq!(append.apply(&mut ledger), Err(LedgerError::AlreadyInstalled { gfn }));
                    prop_assert_eq!(Some(dump(&ledger)), before);
                }
            }
            prop_assert_eq!(ledger.len(), model.pages.len() as u64);
        }

        for page in &model.pages {
            prop_assert_eq!(ledger.get(page.gfn), model.get(page.gfn));
        }
        for (ordinal, page) in model.pages.iter().enumerate() {
            prop_assert_eq!(ledger.hash_at(ordinal as u64), Some(page.hash));
        }
        prop_assert_eq!(ledger.hash_at(ledger.len()), None);

        for range in ranges {
            prop_assert_eq!(ledger.get(range.start()), model.get(range.start()));
            let first = model.first_installed(range);
            prop_assert_eq!(ledger.first_installed(range), first);
            let free = range.iter().take_while(|gfn| Some(*gfn) != first).count();
            prop_assert_eq!(ledger.free_prefix(range), free as u64);
            let by_gpa: Vec<Run> = ledger.runs_by_gpa(range.start()).collect();
            prop_assert_eq!(by_gpa, model.runs_by_gpa(range.start()));
        }

        for from in [0, position.index(model.pages.len() + 1), model.pages.len()] {
            let runs: Vec<Run> = ledger.runs_by_installation(from as u64).collect();
            let hashes: Vec<PageHash> = runs.iter().flat_map(|run| ledger.hashes(run)).collect();
            let expected: Vec<PageHash> = model.pages[from..].iter().map(|page| page.hash).collect();
            prop_assert_eq!(runs, model.runs(from));
            prop_assert_eq!(hashes, expected);
        }
        let sum: u64 = ledger.runs_by_gpa(Gfn::new(0).unwrap()).map(|run| run.range.pages()).sum();
        prop_assert_eq!(sum, ledger.len());
    }
}

#[test]
fn one_hash_for_each_page_is_required() {
    let mut ledger = Ledger::new([7; 32]);
    let range = GfnRange::new(Gfn::new(0x80a).unwrap(), 2).unwrap();
    for hashes in [0, 1, 3] {
        let refused = ledger.append(range, PageType::Normal, &vec![PageHash([0; 32]); hashes]);
        assert_eq!(refused, Err(LedgerError::HashCount { range, hashes }));
    }
    assert!(ledger.is_empty());
}

#[test]
fn a_uniform_run_keeps_one_hash_however_long_it_is() {
    let mut ledger = Ledger::new([7; 32]);
    let all = GfnRange::new(Gfn::new(0).unwrap(), Gfn::MAX.get() + 1).unwrap();
    let zeros = ledger.hasher().zero_page_hash(PageType::Zero);
    ledger.append_uniform(all, PageType::Zero, zeros).unwrap();
    assert_eq!(ledger.len(), 1 << 40);
    assert_eq!(ledger.get(Gfn::MAX).unwrap().hash, zeros);
    assert!(ledger.heap_bytes() < 16 << 10);
}

#[test]
fn the_refusal_names_the_page_and_the_way_out() {
    let gfn = Gfn::new(0x80a).unwrap();
    assert_eq!(
        LedgerError::AlreadyInstalled { gfn }.to_string(),
        "GFN 0x80a is already installed, and no page is installed twice in a launch; \
         append only what the ledger does not hold"
    );
}
