//! What a row must leave: counts, ledger, digest, guest, and a trace in which nothing was submitted twice.
//!
//! **Invariant:** count, ledger and digest are held against what the test staged, and the count against what the model installed.
use stagepages_kernel_model::{Call, Event, Note};
use stagepages_proto::v1::{InstalledRun, Launch, LedgerOrder, PageType};
use stagepages_tests::ledger;

use super::row::{Asked, Expect};
use crate::measured::{Measured, hex};
use crate::rig::Rig;
use crate::trace::checks;

const EBUSY: i32 = 16;

/// A run of pages as a test expects it: first GFN, number, type.
pub(crate) type Run = (u64, u64, PageType);

/// The ledger in order of installation; what was installed in several chunks is one run.
pub(crate) async fn runs(rig: &Rig, name: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for run in ledger(&rig.api, name, LedgerOrder::Installation, 0).await {
        let InstalledRun { gpa, pages, .. } = run;
        let kind = run.page_type();
        match runs.last_mut() {
            Some((first, count, of)) if (*first + *count) * 4096 == gpa && *of == kind => {
                *count += pages;
            }
            _ => runs.push((gpa / 4096, pages, kind)),
        }
    }
    runs
}

/// The launch's own digest is that of the pages that it counts.
pub(crate) fn check_digest(rig: &Rig, launch: &Launch, staged: &Measured) {
    let counted = staged.first(launch.installed_pages);
    assert_eq!(counted.pages(), launch.installed_pages, "{launch:?}");
    let vcpus = launch.spec.as_ref().map_or(1, |spec| spec.vcpus.max(1));
    let expected = checks::digest_of(rig.platform, &counted, vcpus);
    assert_eq!(hex(&launch.launch_digest), hex(&expected), "{launch:?}");
    assert_eq!(launch.measured_pages, launch.installed_pages, "{launch:?}");
}

/// The calls that install pages, in their order.
pub(crate) fn installs(events: &[Event]) -> Vec<&Note> {
    let ended = events.iter().filter_map(Event::ended);
    ended.filter(|note| checks::installs_pages(note)).collect()
}

/// The kernel was asked for what the row says, from the call numbered `from` on.
pub(crate) fn check_asked(events: &[Event], from: usize, expected: &Asked) {
    let asked: Vec<_> = installs(events)
        .iter()
        .skip(from)
        .map(|note| note.gfn.zip(note.pages))
        .collect();
    match expected {
        Asked::Exactly(calls) => assert_eq!(&asked, calls, "what the kernel was asked to install"),
        Asked::ThenAgain(calls) => {
            let (first, again) = asked.split_at(calls.len().min(asked.len()));
            assert_eq!(first, calls, "what the kernel was asked to install");
            let last = calls.last().expect("something to repeat");
            assert!(again.iter().all(|call| call == last), "{again:?}");
            // A bound of the host's own, which the API does not tell; somebody waits for the answer.
            assert!((1..=32).contains(&again.len()), "{} times", again.len());
        }
    }
}

/// The guest has so many pages, and no page was submitted again after it was installed or refused in doubt.
pub(crate) fn check_guest(events: &[Event], pages: u64) {
    let asked = installs(events);
    let done = asked.iter().filter_map(|note| note.pages_done);
    assert_eq!(done.sum::<u64>(), pages, "pages that the model installed");
    checks::no_page_is_submitted_twice(events).unwrap();
}

/// The end was asked for once, and again only where nothing can have been done: of a TDX module that was busy, a bounded number of times.
pub(crate) fn check_finishes(events: &[Event], expect: &Expect) {
    let ends: Vec<_> = events
        .iter()
        .filter_map(Event::ended)
        .filter(|note| note.is(Call::SnpLaunchFinish) || note.is(Call::TdxFinalizeVm))
        .collect();
    let Some((last, before)) = ends.split_last() else {
        let told = expect.refusal.as_ref().expect("an end that was asked for");
        assert!(told.ioctl.starts_with("KVM_CREATE_VCPU") || told.ioctl.starts_with("KVM_SET_"));
        return;
    };
    assert!(before.len() <= 32, "{} times", before.len());
    for note in before {
        assert!(note.is(Call::TdxFinalizeVm), "{note:?}");
        assert_eq!(note.errno, Some(EBUSY), "{note:?}");
    }
    assert_eq!(last.errno.is_none(), expect.refusal.is_none(), "{last:?}");
}
