//! Extents that are long enough for two threads, on real memory.

use std::{fs::File, io::Write as _};

use stagepages_kvm::{PAGE_BYTES, PAGE_SIZE, PageType};

use super::{
    CallKey, Extent, Installation, Launch, Open, Order, Ordering, Refusal, Snapshot, State,
    StopFlag, tests::range,
};
use crate::platform::{KvmPlatform, Memory, Source};

/// More than is done between two looks at the stop flag.
const PAGES: u64 = 5000;

/// So many pages that all are different.
fn source() -> File {
    let mut file = tempfile::tempfile().unwrap();
    for page in 0..PAGES {
        let word = (page + 1).to_le_bytes();
        file.write_all(&word.repeat(PAGE_BYTES / word.len()))
            .unwrap();
    }
    file
}

/// A launch that installs `chunk_pages` at a time; with more than are wide, on one thread.
fn fresh(chunk_pages: u64, stop: StopFlag) -> Launch {
    let plan = Memory::plan(&[range(0, PAGES)]).unwrap();
    let platform = Box::new(KvmPlatform::new(&plan).unwrap());
    let ordering = Ordering::Unordered;
    Launch::Open(Open::new(
        platform,
        plan,
        [7; 32],
        stop,
        chunk_pages,
        ordering,
        1,
    ))
}

fn stage(
    launch: Launch,
    first: u64,
    pages: u64,
    file: &File,
    told: &mut dyn FnMut(Snapshot),
) -> (Launch, Result<Installation, Refusal>) {
    let extent = Extent {
        range: range(first, pages),
        page_type: PageType::Normal,
        source: Source::File(file.into(), first * PAGE_SIZE),
        proof: None,
    };
    launch.stage(&CallKey::default(), &extent, &mut |now: Snapshot| told(now))
}

#[test]
fn two_threads_leave_what_one_does() {
    let file = source();
    let installed = |chunk_pages| {
        let launch = fresh(chunk_pages, StopFlag::default());
        let (launch, first) = stage(launch, 4000, 100, &file, &mut |_| {});
        assert_eq!(first.unwrap().installed_pages, 100);
        let (launch, second) = stage(launch, 0, PAGES, &file, &mut |_| {});
        let second = second.unwrap();
        let stopped_by = second.in_the_way.unwrap();
        assert_eq!((second.installed_pages, stopped_by.gfn.get()), (4000, 4000));
        let report = launch.verify(&|| {}).unwrap();
        assert_eq!((report.contents_checked, report.findings.len()), (4100, 0));
        let (mut hashes, mut from) = (Vec::new(), Some(0));
        while let Some(next) = from {
            let part = launch.runs(Order::Installation, next, true, 512);
            hashes.extend(part.runs.into_iter().flat_map(|(_, hashes)| hashes));
            from = part.next;
        }
        hashes
    };
    let by_two = installed(64);
    assert_eq!(by_two.len(), 4100);
    assert_eq!(by_two, installed(4096));
}

#[test]
fn what_is_behind_a_failure_is_in_doubt_and_not_counted() {
    let file = source();
    file.set_len(3000 * PAGE_SIZE).unwrap();
    let (launch, refused) = stage(fresh(64, StopFlag::default()), 0, PAGES, &file, &mut |_| {});
    let refusal = refused.unwrap_err();
    // The last step that is whole.
    assert_eq!(refusal.installed_pages, 2048 + 14 * 64, "{refusal:?}");
    assert_eq!(launch.snapshot().state, State::Aborted);
    assert_eq!(launch.snapshot().installed_pages, refusal.installed_pages);
}

#[test]
fn an_abort_ends_it_between_two_turns() {
    let (file, stop) = (source(), StopFlag::default());
    let asked = stop.clone();
    let (launch, refused) = stage(fresh(64, stop), 0, PAGES, &file, &mut |_| {
        asked.set(super::AbortReason::Requested);
    });
    assert_eq!(refused.unwrap_err().installed_pages, 2048);
    assert_eq!(launch.snapshot().state, State::Aborted);
}
