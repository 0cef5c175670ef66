//! What is in doubt after a stop, and what is not.

use std::io;

use nix::errno::Errno;
use stagepages_kvm::{KvmError, PageType};

use super::{
    Reason, State,
    judge_tests::{errno, firmware, scripted},
    tests::stage,
};
use crate::platform::Stop;

#[test]
fn a_refusal_by_firmware_that_left_the_page_in_doubt_is_firmwares_and_ends_the_launch() {
    let stop = |error| Stop::Kernel {
        error,
        known: "the page is lost".to_owned(),
    };
    let wrote_back = KvmError::WroteBack {
        op: "KVM_SEV_SNP_LAUNCH_UPDATE",
        field: "len",
        value: 1,
        cause: Some(Box::new(firmware(0x1a))),
    };
    for (error, reason) in [
        (firmware(0x1a), Reason::FirmwareRefused),
        // What the kernel wrote back is in doubt, whatever firmware said beside it.
        (wrote_back, Reason::KernelRefused),
    ] {
        let (launch, _) = scripted([(0, Some(stop(error)))]);
        let (launch, answer) = stage(launch, 0, 1, PageType::Normal, Some(1));
        let refusal = answer.unwrap_err();
        assert_eq!(
            (refusal.reason, refusal.firmware_status),
            (reason, Some(0x1a))
        );
        assert!(refusal.message.contains("the page is lost"), "{refusal:?}");
        assert_eq!(launch.snapshot().state, State::Aborted);
    }
}

#[test]
fn a_platform_that_counts_more_than_it_was_given_is_not_believed() {
    let (launch, _) = scripted([(4, None)]);
    let (launch, answer) = stage(launch, 0, 3, PageType::Normal, Some(1));
    let refusal = answer.unwrap_err();
    assert_eq!(
        (refusal.reason, refusal.installed_pages),
        (Reason::KernelRefused, 0)
    );
    assert_eq!(launch.snapshot().state, State::Aborted);
}

#[test]
fn a_stop_behind_the_last_page_is_not_overlooked() {
    let contradictions = [
        Stop::from(errno(Errno::EFAULT)),
        Stop::Again(errno(Errno::EINTR)),
        Stop::Firmware(firmware(0x1a)),
        Stop::Unread(io::Error::other("gone")),
    ];
    for stop in contradictions {
        let told = stop.error().map(ToString::to_string).unwrap_or_default();
        let code = stop.error().and_then(KvmError::errno);
        let (launch, asked) = scripted([(3, Some(stop))]);
        let (launch, answer) = stage(launch, 0, 3, PageType::Normal, Some(1));
        let refusal = answer.unwrap_err();
        assert_eq!(
            (refusal.reason, refusal.installed_pages, refusal.errno),
            (Reason::KernelRefused, 3, code)
        );
        assert!(refusal.message.contains(&told), "{refusal:?}");
        let snapshot = launch.snapshot();
        assert_eq!(
            (snapshot.state, snapshot.installed_pages),
            (State::Aborted, 3)
        );
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
}

#[test]
fn bytes_that_cannot_be_read_cost_a_launch_nothing_unless_pages_went_in_before() {
    let unread = || Some(Stop::Unread(io::ErrorKind::UnexpectedEof.into()));
    for pages in [1, 4] {
        let (launch, _) = scripted([(0, unread())]);
        let (launch, answer) = stage(launch, 0, pages, PageType::Normal, Some(1));
        let refusal = answer.unwrap_err();
        assert_eq!(
            (refusal.reason, refusal.installed_pages),
            (Reason::KernelRefused, 0)
        );
        assert_eq!(launch.snapshot().state, State::Created);
        let (_launch, answer) = stage(launch, 0, pages, PageType::Normal, Some(1));
        assert_eq!(answer.unwrap().installed_pages, pages);
    }
    let (launch, _) = scripted([(1, None), (0, unread())]);
    let (launch, answer) = stage(launch, 0, 4, PageType::Normal, Some(1));
    let refusal = answer.unwrap_err();
    assert_eq!(
        (refusal.reason, refusal.installed_pages),
        (Reason::KernelRefused, 1)
    );
    assert_eq!(launch.snapshot().state, State::Aborted);
    // A source of which the platform read part before it could not go on.
    let (launch, _) = scripted([(0, Some(Stop::Source(io::Error::other("gone"))))]);
    let (launch, answer) = stage(launch, 0, 1, PageType::Normal, Some(1));
    assert_eq!(answer.unwrap_err().reason, Reason::KernelRefused);
    assert_eq!(launch.snapshot().state, State::Aborted);
}
