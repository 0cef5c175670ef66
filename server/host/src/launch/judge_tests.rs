//! What each answer of a platform makes of a call and of its launch, on a platform that answers by script.

use std::{
    collections::VecDeque,
    fs::File,
    io::Write as _,
    sync::{Arc, Mutex},
};

use nix::errno::Errno;
use stagepages_kvm::{FirmwareStatus, Gfn, GfnRange, Gpa, KvmError, PageType};

use super::{
    CallKey, Extent, Launch, Reason, Spent, State, StopFlag,
    tests::{launch, range, stage},
};
use crate::{
    platform::{Chunk, Contents, Finish, Installed, Platform, PlatformKind, Source, Stop},
    vcpu::CpuModel,
};

/// Pages and a stop, as one call of the platform answers.
pub(super) type Answer = (u64, Option<Stop>);

/// Answers by script, then installs all; notes what it was asked to install.
#[derive(Debug)]
struct Scripted {
    answers: VecDeque<Answer>,
    asked: Arc<Mutex<Vec<(u64, u64)>>>,
}

impl Platform for Scripted {
    fn kind(&self) -> PlatformKind {
        PlatformKind::SevSnp
    }

    fn install(&mut self, chunk: &Chunk<'_>) -> Installed<'_> {
        let range = chunk.range;
        self.asked
            .lock()
            .unwrap()
            .push((range.start().get(), range.pages()));
        let (pages, stop) = self.answers.pop_front().unwrap_or((range.pages(), None));
        Installed {
            pages,
            contents: Contents::Unknown,
            stop,
            spent: Spent::default(),
        }
    }

    fn cpu(&self) -> CpuModel {
        CpuModel::generous()
    }

    fn finish(&mut self, _finish: &Finish<'_>) -> Result<(), Stop> {
        Ok(())
    }

    fn sees_pages(&self) -> bool {
        false
    }

    fn existing(&self, _range: GfnRange, _out: &mut [u8]) -> Result<(), KvmError> {
        Ok(())
    }

    fn page(&self, _gfn: Gfn) -> Option<&[u8]> {
        None
    }
}

pub(super) type Asked = Arc<Mutex<Vec<(u64, u64)>>>;

pub(super) fn scripted(answers: impl Into<VecDeque<Answer>>) -> (Launch, Asked) {
    let asked = Asked::default();
    let platform = Scripted {
        answers: answers.into(),
        asked: Arc::clone(&asked),
    };
    let launch = launch(|_plan| Box::new(platform), StopFlag::default());
    (launch, asked)
}

fn tempfile(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

pub(super) fn errno(errno: Errno) -> KvmError {
    KvmError::from_errno("KVM_TDX_INIT_MEM_REGION", errno as i32)
}

pub(super) fn firmware(status: u32) -> KvmError {
    KvmError::Firmware {
        op: "KVM_SEV_SNP_LAUNCH_UPDATE",
        status: FirmwareStatus::new(status),
        os: Errno::EIO.into(),
    }
}

#[test]
fn an_error_that_came_with_progress_counts_it_and_its_page_is_not_submitted_again() {
    let (launch, asked) = scripted([(2, Some(errno(Errno::EIO).into()))]);
    let (launch, answer) = stage(launch, 0, 6, PageType::Normal, Some(1));
    let refusal = answer.unwrap_err();
    assert_eq!(
        (refusal.reason, refusal.installed_pages, refusal.errno),
        (Reason::KernelRefused, 2, Some(Errno::EIO as i32))
    );
    assert_eq!(refusal.gpa, Gfn::new(2).map(Gfn::gpa));
    assert_eq!(refusal.platform.unwrap().ioctl, "KVM_TDX_INIT_MEM_REGION");
    let snapshot = launch.snapshot();
    assert_eq!(
        (snapshot.state, snapshot.installed_pages),
        (State::Aborted, 2)
    );
    assert_eq!(*asked.lock().unwrap(), [(0, 3)]);
}

#[test]
fn a_retry_with_progress_goes_on_behind_it() {
    let (launch, asked) = scripted([
        (1, Some(Stop::Again(errno(Errno::EINTR)))),
        (0, Some(Stop::Again(errno(Errno::EBUSY)))),
    ]);
    let (_launch, answer) = stage(launch, 0, 3, PageType::Normal, Some(1));
    assert_eq!(answer.unwrap().installed_pages, 3);
    assert_eq!(*asked.lock().unwrap(), [(0, 3), (1, 2), (1, 2)]);
}

#[test]
fn retries_without_progress_are_bounded() {
    let never = || (0, Some(Stop::Again(errno(Errno::EAGAIN))));
    let (launch, asked) = scripted((0..100).map(|_| never()).collect::<VecDeque<_>>());
    let (launch, answer) = stage(launch, 0, 1, PageType::Normal, Some(1));
    let refusal = answer.unwrap_err();
    assert_eq!(
        (refusal.reason, refusal.errno),
        (Reason::KernelRefused, Some(Errno::EAGAIN as i32))
    );
    assert_eq!(launch.snapshot().state, State::Aborted);
    assert_eq!(asked.lock().unwrap().len(), 11, "once, and ten retries");
}

#[test]
fn a_firmware_refusal_names_command_status_meaning_and_way_out() {
    let (launch, _) = scripted([(0, Some(Stop::Firmware(firmware(0x7))))]);
    let (launch, answer) = stage(launch, 0, 1, PageType::Normal, Some(1));
    let refusal = answer.unwrap_err();
    assert_eq!(
        (refusal.reason, refusal.firmware_status),
        (Reason::FirmwareRefused, Some(7))
    );
    let status = FirmwareStatus::POLICY_FAILURE;
    for part in [
        "KVM_SEV_SNP_LAUNCH_UPDATE",
        "0x7",
        "POLICY_FAILURE",
        status.meaning(),
        status.remedy(),
        "NORMAL page at GPA 0x0",
    ] {
        assert!(refusal.message.contains(part), "{part}: {refusal:?}");
    }
    assert_eq!(launch.snapshot().state, State::Created);
}

#[test]
fn a_page_that_exists_all_the_same_is_never_called_installed() {
    let stray = Stop::Stray {
        gfn: Gfn::new(1).unwrap(),
        error: Some(errno(Errno::EEXIST)),
    };
    let (launch, _) = scripted([(1, Some(stray))]);
    let (launch, answer) = stage(launch, 0, 3, PageType::Normal, Some(1));
    let refusal = answer.unwrap_err();
    assert_eq!(
        (refusal.reason, refusal.installed_pages, refusal.errno),
        (Reason::KernelRefused, 1, Some(Errno::EEXIST as i32))
    );
    assert_eq!(launch.snapshot().state, State::Aborted);
}

#[test]
fn what_a_retry_meets_is_told_with_what_led_to_it() {
    let stray = Stop::Stray {
        gfn: Gfn::new(0).unwrap(),
        error: Some(errno(Errno::EEXIST)),
    };
    let (launch, asked) = scripted([
        (0, Some(Stop::Again(errno(Errno::EBUSY)))),
        (0, Some(stray)),
    ]);
    let (_launch, answer) = stage(launch, 0, 1, PageType::Normal, Some(1));
    let refusal = answer.unwrap_err();
    assert_eq!(refusal.reason, Reason::KernelRefused);
    assert!(
        refusal
            .message
            .ends_with("the attempt before was answered EBUSY"),
        "{refusal:?}"
    );
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn a_corrected_cpuid_page_is_kept_to_be_looked_at() {
    let page = |ebx: u8| {
        let mut page = vec![0; 4096];
        page[0] = 1;
        page[16] = 0xd;
        page[16 + 28] = ebx;
        page.into_boxed_slice()
    };
    let rejected = Stop::CpuidRejected {
        error: firmware(0x16),
        submitted: page(1),
        corrected: page(2),
    };
    let (launch, asked) = scripted([(0, Some(rejected))]);
    assert_eq!(
        launch.rejected_cpuid().unwrap_err().reason,
        Reason::ResultNotFound
    );
    let (launch, answer) = stage(launch, 1, 1, PageType::Cpuid, Some(1));
    let refusal = answer.unwrap_err();
    assert_eq!(
        (refusal.reason, refusal.firmware_status),
        (Reason::CpuidRejected, Some(0x16))
    );
    let words = refusal.platform.unwrap().cpuid;
    assert_eq!(
        (words.total, &words.first[..]),
        (
            1,
            &["entry 0, leaf 0xd.0x0: ebx 0x1, firmware would have 0x2".to_owned()][..]
        )
    );
    let kept = launch.rejected_cpuid().unwrap();
    assert_eq!(kept.gpa.get(), 0x1000);
    assert_eq!((&kept.submitted, &kept.corrected), (&page(1), &page(2)));
    assert_eq!(launch.snapshot().state, State::Created);
    assert_eq!(asked.lock().unwrap().len(), 1, "it is not submitted again");

    // Not by its caller either: only another page is.
    let file = tempfile(&page(1));
    let submit = |launch: Launch, file: &File| {
        let extent = Extent {
            range: range(2, 1),
            page_type: PageType::Cpuid,
            source: Source::File(file.into(), 0),
            proof: None,
        };
        launch.stage(&CallKey::default(), &extent, &mut |_| {})
    };
    let (launch, answer) = submit(launch, &file);
    let refusal = answer.unwrap_err();
    assert_eq!(
        (refusal.reason, refusal.gpa.map(Gpa::get)),
        (Reason::CpuidRejected, Some(0x2000))
    );
    for address in ["0x1000", "0x2000"] {
        assert!(refusal.message.contains(address), "{refusal:?}");
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
    let (launch, answer) = submit(launch, &tempfile(&page(2)));
    assert_eq!(answer.unwrap().installed_pages, 1);
    assert_eq!(asked.lock().unwrap().len(), 2);
    // What is installed comes first, as for every page.
    let (_launch, answer) = submit(launch, &file);
    assert_eq!(answer.unwrap_err().reason, Reason::AlreadyInstalled);
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn a_cpuid_page_that_differs_in_no_entry_says_where() {
    for (at, place) in [(4, "in its header"), (4095, "behind its entries")] {
        let submitted = vec![0; 4096];
        let mut corrected = submitted.clone();
        corrected[at] = 1;
        let rejected = Stop::CpuidRejected {
            error: firmware(0x16),
            submitted: submitted.into(),
            corrected: corrected.into(),
        };
        let (launch, _) = scripted([(0, Some(rejected))]);
        let (_launch, answer) = stage(launch, 1, 1, PageType::Cpuid, Some(1));
        let refusal = answer.unwrap_err();
        assert_eq!(refusal.reason, Reason::CpuidRejected);
        assert!(refusal.message.contains(place), "{refusal:?}");
        assert_eq!(refusal.platform.unwrap().cpuid.total, 0);
    }
}
