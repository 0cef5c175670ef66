//! Refusals, short successes, aborts and bad sources: what each leaves behind, on a simulated launch.

use stagepages_kvm::{Gfn, PageType};

use super::{
    AbortReason, CallKey, Extent, Reason, State, StopFlag,
    tests::{launch, pages, range, sim, stage},
};
use crate::platform::{Effect, Firmware, SimPlatform, SimScript, Source};

#[test]
fn a_clean_refusal_of_one_page_leaves_the_launch_as_it_was() {
    let launch = sim(&[(3, Effect::Firmware(0x7))]);
    let (launch, answer) = stage(launch, 3, 1, PageType::Normal, Some(1));
    let refusal = answer.unwrap_err();
    assert_eq!(
        (refusal.reason, refusal.firmware_status),
        (Reason::FirmwareRefused, Some(7))
    );
    assert_eq!(launch.snapshot().state, State::Created);
    let (launch, answer) = stage(launch, 3, 1, PageType::Normal, Some(1));
    assert_eq!(answer.unwrap().installed_pages, 1);
    assert_eq!(launch.snapshot().state, State::Staging);
}

#[test]
fn a_refusal_inside_an_extent_ends_the_launch_and_tells_the_count() {
    for (effect, reason) in [
        (Effect::Firmware(0x7), Reason::FirmwareRefused),
        (Effect::Kernel(libc_eio()), Reason::KernelRefused),
        (Effect::Stray, Reason::KernelRefused),
    ] {
        let (launch, answer) = stage(sim(&[(5, effect)]), 0, 10, PageType::Normal, Some(1));
        let refusal = answer.unwrap_err();
        assert_eq!(
            (refusal.reason, refusal.installed_pages),
            (reason, 5),
            "{effect:?}"
        );
        assert_eq!(refusal.gpa, Gfn::new(5).map(Gfn::gpa));
        let snapshot = launch.snapshot();
        assert_eq!(
            (snapshot.state, snapshot.installed_pages),
            (State::Aborted, 5)
        );
    }
}

#[test]
fn a_short_success_and_a_busy_kernel_are_gone_on_from() {
    let (launch, answer) = stage(
        sim(&[(5, Effect::StopShort), (7, Effect::Kernel(11))]),
        0,
        10,
        PageType::Normal,
        Some(1),
    );
    assert_eq!(answer.unwrap().installed_pages, 10);
    assert_eq!(launch.verify(&|| ()).unwrap().findings_total, 0);
}

#[test]
fn a_corrected_cpuid_page_is_not_resubmitted() {
    let (launch, answer) = stage(
        sim(&[(0, Effect::Firmware(0x16))]),
        0,
        1,
        PageType::Cpuid,
        Some(1),
    );
    assert_eq!(answer.unwrap_err().reason, Reason::CpuidRejected);
    assert_eq!(launch.snapshot().installed_pages, 0);
}

#[test]
fn an_abort_stops_an_extent_between_chunks_and_tells_the_count() {
    let stop = StopFlag::default();
    let launch = launch(
        |plan| Box::new(SimPlatform::new(plan, SimScript::default(), Firmware::instant()).unwrap()),
        stop.clone(),
    );
    let file = pages(1, 10);
    let extent = Extent {
        range: range(0, 10),
        page_type: PageType::Normal,
        source: Source::File((&file).into(), 0),
        proof: None,
    };
    let (launch, answer) = launch.stage(&CallKey::default(), &extent, &mut |_| {
        stop.set(AbortReason::Requested);
    });
    let refusal = answer.unwrap_err();
    assert_eq!(
        (refusal.reason, refusal.installed_pages),
        (Reason::AbortedDuringCall, 3)
    );
    assert_eq!(launch.snapshot().state, State::Aborted);
}

#[test]
fn a_source_that_ends_early_ends_the_launch() {
    let file = pages(1, 2);
    let extent = Extent {
        range: range(0, 3),
        page_type: PageType::Normal,
        source: Source::File((&file).into(), 0),
        proof: None,
    };
    let (launch, answer) = sim(&[]).stage(&CallKey::default(), &extent, &mut |_| {});
    assert_eq!(answer.unwrap_err().reason, Reason::KernelRefused);
    assert_eq!(launch.snapshot().installed_pages, 0);
}

fn libc_eio() -> i32 {
    nix::errno::Errno::EIO as i32
}
