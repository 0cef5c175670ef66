//! Filling and hashing a part of guest memory on two threads.
//!
//! ```text
//!  part ──▶ step │ step │ step │ step │ …    each: exist, copy, hash, by whichever thread comes for it
//!           ▲ handed out in ascending order  ▲ none behind one that failed
//! ```
//!
//! To make pages of a guest_memfd exist is more than half of what they cost, and two threads do it twice as fast as one (Linux 6.18). Each hashes what it copied
//! itself, a step at a time: hashed by another processor, or later, pages come from memory once more, and that costs as much again as to hash them.
//!
//! What each step took is added up over both threads, and told in proportion to the time that passed on the clock: half a second of each is told as half a second.
//!
//! The second thread lives as long as its part takes. It inherits the launch thread's signal mask, so none reaches it (kernel.md, section 10.5).
//!
//! **Invariant:** what is counted is a prefix of the part, every page of it filled and hashed, whichever thread did.

use std::{
    mem,
    sync::{Mutex, PoisonError},
    thread::{self, Builder},
};

use stagepages_kvm::{PAGE_BYTES, PAGE_SIZE, Part};

use super::super::{Hashing, Source, Stop, fill::fill};
use crate::{
    launch::{Lap, Spent},
    ledger::PageHash,
    stack,
};

/// Pages that are done before anybody is asked whether to go on: a few milliseconds. A thread costs less than a hundredth of that.
pub(super) const PAGES: u64 = 2048;

/// Stack of the second thread, in bytes.
const STACK_BYTES: usize = 128 * 1024;

/// What nobody has taken.
struct Rest<'a> {
    part: Option<Part<'a>>,
    hashes: &'a mut [PageHash],
    /// Pages that were taken.
    taken: usize,
    /// The first step that failed: how many pages are before it, and why.
    failed: Option<(usize, Stop)>,
    /// What threads that are done spent.
    spent: Spent,
}

/// Pages that one thread fills and hashes.
struct Step<'a> {
    part: Part<'a>,
    hashes: &'a mut [PageHash],
    /// Pages before it.
    before: usize,
}

/// Fills `part` and hashes it. Returns how many of its first pages that was done to, and why it stopped there; adds to `spent` what the time went to.
pub(super) fn fill_and_hash(
    part: Part<'_>,
    source: Source<'_>,
    hashing: Hashing<'_>,
    spent: &mut Spent,
) -> (u64, Option<Stop>) {
    let mut wall = Lap::start();
    let Hashing {
        hasher,
        page_type,
        hashes,
        step,
    } = hashing;
    let pages = part.pages().min(hashes.len());
    let rest = Mutex::new(Rest {
        part: Some(part.split(pages).0),
        hashes,
        taken: 0,
        failed: None,
        spent: Spent::default(),
    });
    let lock = || rest.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        let mut spent = Spent::default();
        loop {
            let Some(mut next) = lock().next(step) else {
                break;
            };
            let source = source.skip(next.before as u64 * PAGE_SIZE);
            if let Err(stop) = fill(&mut next.part, source, &mut spent) {
                lock().fail(next.before, stop);
                break;
            }
            let mut lap = Lap::start();
            let (pages, _) = next.part.contents().as_chunks::<PAGE_BYTES>();
            for (hash, page) in next.hashes.iter_mut().zip(pages) {
                *hash = hasher.hash(page_type, page);
            }
            spent.hash += lap.split();
        }
        lock().spent += spent;
    };
    thread::scope(|scope| {
        let second = Builder::new()
            .name("fill".to_owned())
            .stack_size(STACK_BYTES);
        // Without it all takes longer, and is the same.
        let second = second.spawn_scoped(scope, || {
            work();
            // The C library keeps the stacks of threads that ended, for others.
            stack::wipe();
        });
        if let Err(error) = second {
            tracing::debug!(%error, "pages are filled by one thread");
        }
        work();
    });
    let rest = rest.into_inner().unwrap_or_else(PoisonError::into_inner);
    *spent += rest.spent.within(wall.split());
    match rest.failed {
        Some((before, stop)) => (before as u64, Some(stop)),
        None => (pages as u64, None),
    }
}

impl<'a> Rest<'a> {
    /// The next `pages` pages; none behind a failure, and none behind the end.
    fn next(&mut self, pages: usize) -> Option<Step<'a>> {
        if self.failed.is_some() {
            return None;
        }
        let (part, rest) = self.part.take()?.split(pages.max(1));
        let pages = part.pages();
        if pages == 0 {
            return None;
        }
        self.part = Some(rest);
        let (hashes, rest) = mem::take(&mut self.hashes).split_at_mut(pages);
        self.hashes = rest;
        let before = self.taken;
        self.taken += pages;
        Some(Step {
            part,
            hashes,
            before,
        })
    }

    /// A step failed. Another thread may have been faster to fail at a later one.
    fn fail(&mut self, before: usize, stop: Stop) {
        if self
            .failed
            .as_ref()
            .is_none_or(|(first, _)| before < *first)
        {
            self.failed = Some((before, stop));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write as _};

    use stagepages_kvm::{Mapping, PageType};

    use super::*;
    use crate::ledger::Ledger;

    const STEP: usize = 16;

    /// A file of `pages` pages that are all different.
    fn source(pages: u64) -> File {
        let mut file = tempfile::tempfile().unwrap();
        for page in 0..pages {
            let word = (page + 1).to_le_bytes();
            file.write_all(&word.repeat(PAGE_BYTES / word.len()))
                .unwrap();
        }
        file
    }

    /// Fills `pages` pages from `file`, from its second page on. Returns the memory, the hashes, and what was told.
    fn filled(
        pages: u64,
        source: Source<'_>,
    ) -> (
        Mapping<stagepages_kvm::Anonymous>,
        Vec<PageHash>,
        (u64, Option<Stop>),
    ) {
        let mut memory = Mapping::anonymous(c"stagepages-test", pages * PAGE_SIZE).unwrap();
        let mut hashes = vec![PageHash([0; 32]); usize::try_from(pages).unwrap()];
        let hashing = Hashing {
            hasher: &Ledger::new([7; 32]).hasher(),
            page_type: PageType::Unmeasured,
            hashes: &mut hashes,
            step: STEP,
        };
        let mut spent = Spent::default();
        let part = memory.part(0, pages).unwrap();
        let told = fill_and_hash(part, source, hashing, &mut spent);
        assert!(!spent.copy.is_zero() && !spent.ioctl.is_zero(), "{spent:?}");
        (memory, hashes, told)
    }

    fn assert_hashed(memory: &Mapping<stagepages_kvm::Anonymous>, hashes: &[PageHash], pages: u64) {
        let hasher = Ledger::new([7; 32]).hasher();
        let (contents, _) = memory.pages(0, pages).unwrap().as_chunks::<PAGE_BYTES>();
        let expected: Vec<_> = contents
            .iter()
            .map(|page| hasher.hash(PageType::Unmeasured, page))
            .collect();
        assert_eq!(hashes[..expected.len()], expected);
    }

    #[test]
    fn every_page_is_filled_and_hashed_whichever_thread_does_it() {
        let file = source(1000);
        for pages in [1, 15, 16, 17, 999] {
            let (memory, hashes, (count, stop)) =
                filled(pages, Source::File((&file).into(), PAGE_SIZE));
            assert!(
                stop.is_none() && count == pages,
                "{count} of {pages}, {stop:?}"
            );
            assert_hashed(&memory, &hashes, pages);
            for page in 0..pages {
                assert_eq!(
                    memory.pages(page, 1).unwrap()[..8],
                    (page + 2).to_le_bytes()
                );
            }
        }
        let (memory, hashes, (count, stop)) = filled(100, Source::Blank);
        assert!(stop.is_none() && count == 100);
        assert_hashed(&memory, &hashes, 100);
    }

    #[test]
    fn behind_a_failure_nothing_is_counted() {
        // Pages 0 to 99 are there; the seventh step is short.
        let file = source(101);
        for _ in 0..50 {
            let (memory, hashes, (count, stop)) =
                filled(500, Source::File((&file).into(), PAGE_SIZE));
            assert_eq!(count, 96);
            let told = format!("{:?}", stop.unwrap());
            assert!(told.contains("ends after 0x4000 of 0x10000"), "{told}");
            assert_hashed(&memory, &hashes, 96);
        }
    }
}
