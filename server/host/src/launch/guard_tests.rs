//! The guard at the end, on a platform that counts how often it was asked.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use stagepages_kvm::{Gfn, GfnRange, KvmError, PageType};

use super::{
    AbortReason, Launch, Reason, Spent, State, StopFlag,
    tests::{launch, real_mode, sim, stage},
};
use crate::{
    platform::{Chunk, Contents, Finish, Installed, Platform, PlatformKind, Stop},
    settings::{FinishArgs, IdBlock, SnpFinish},
    vcpu::CpuModel,
};

/// Takes everything, and counts how often it is asked to end staging.
#[derive(Debug)]
struct Willing {
    kind: PlatformKind,
    asked: Arc<AtomicU32>,
}

impl Platform for Willing {
    fn kind(&self) -> PlatformKind {
        self.kind
    }

    fn install(&mut self, chunk: &Chunk<'_>) -> Installed<'_> {
        Installed {
            pages: chunk.range.pages(),
            contents: Contents::Unknown,
            stop: None,
            spent: Spent::default(),
        }
    }

    fn cpu(&self) -> CpuModel {
        CpuModel::generous()
    }

    fn finish(&mut self, _finish: &Finish<'_>) -> Result<(), Stop> {
        self.asked.fetch_add(1, Relaxed);
        Ok(())
    }

    fn existing(&self, _range: GfnRange, _out: &mut [u8]) -> Result<(), KvmError> {
        Ok(())
    }

    fn page(&self, _gfn: Gfn) -> Option<&[u8]> {
        None
    }
}

fn willing(kind: PlatformKind) -> (Launch, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let platform = Willing {
        kind,
        asked: Arc::clone(&asked),
    };
    let launch = launch(|_| Box::new(platform), StopFlag::default());
    let (launch, answer) = stage(launch, 0, 7, PageType::Zero, None);
    assert_eq!(answer.unwrap().installed_pages, 7);
    (launch, asked)
}

fn id_block(digest: &[u8]) -> FinishArgs {
    let mut block = [0; 96];
    block[..48].copy_from_slice(digest);
    let block = IdBlock {
        block,
        auth: [0; 4096],
        author_key: false,
    };
    FinishArgs {
        expected: Vec::new(),
        snp: Some(SnpFinish {
            id_block: Some(Box::new(block)),
            ..SnpFinish::default()
        }),
    }
}

#[test]
fn a_digest_that_differs_never_reaches_the_platform_and_the_right_one_finishes() {
    let by_name: fn(&[u8]) -> FinishArgs = FinishArgs::expecting;
    for (kind, args, field) in [
        (PlatformKind::SevSnp, by_name, "expected_launch_digest"),
        (PlatformKind::Tdx, by_name, "expected_launch_digest"),
        (PlatformKind::Sim, by_name, "expected_launch_digest"),
        (PlatformKind::SevSnp, id_block, "sev_snp.id_block"),
    ] {
        let (launch, asked) = willing(kind);
        let mut launch = launch.settle();
        let before = launch.snapshot();
        let right = before.digest.unwrap();
        for at in [0, 47] {
            let mut other = right;
            other[at] ^= 1;
            let answer;
            (launch, answer) = launch.finish(&args(&other));
            let refusal = answer.unwrap_err();
            assert_eq!(
                (
                    refusal.reason,
                    refusal.field.as_str(),
                    refusal.actual_digest
                ),
                (Reason::DigestMismatch, field, Some(right))
            );
            assert_eq!(launch.snapshot(), before, "{kind}: nothing changed");
        }
        assert_eq!(asked.load(Relaxed), 0, "{kind}");
        let (launch, answer) = launch.finish(&args(&right));
        assert_eq!((answer, asked.load(Relaxed)), (Ok(()), 1));
        let finished = launch.snapshot();
        assert_eq!(
            (finished.state, finished.digest, finished.measured_pages),
            (State::Finished, Some(right), 7)
        );
        let (_launch, answer) = launch.finish(&args(&right));
        assert_eq!((answer, asked.load(Relaxed)), (Ok(()), 1), "a repeat");
    }
}

#[test]
fn how_vcpus_begin_is_part_of_what_is_guarded() {
    let (launch, _) = willing(PlatformKind::SevSnp);
    let mut launch = launch.settle();
    let at_reset = launch.snapshot().digest.unwrap();
    launch.set_vcpu(&real_mode(0x100)).unwrap();
    let (launch, answer) = launch.finish(&FinishArgs::expecting(&at_reset));
    let refusal = answer.unwrap_err();
    assert_eq!(refusal.reason, Reason::DigestMismatch);
    let (_, answer) = launch.finish(&FinishArgs::expecting(&refusal.actual_digest.unwrap()));
    assert_eq!(answer, Ok(()));
}

/// A launch with pages whose measuring thread has died.
fn unmeasured() -> Launch {
    let (mut launch, answer) = stage(sim(&[]), 0, 4, PageType::Normal, Some(1));
    answer.unwrap();
    let Launch::Open(open) = &mut launch else {
        panic!("{launch:?}")
    };
    open.books.settle().unwrap();
    open.books.measure.as_mut().unwrap().kill();
    launch
}

#[test]
fn a_launch_whose_digest_nobody_computes_any_more_is_over_and_says_so() {
    let mut launch = unmeasured();
    let mut counted = 4;
    let refusal = loop {
        let (next, answer) = stage(launch, counted, 1, PageType::Normal, Some(2));
        launch = next;
        match answer {
            // Room for it was at hand: nobody had to wait for the thread.
            Ok(_) => counted += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(
        (refusal.reason, refusal.installed_pages),
        (Reason::KernelRefused, 1)
    );
    assert!(
        refusal.message.contains("launch digest died"),
        "{refusal:?}"
    );
    let last = launch.snapshot();
    assert_eq!(
        (last.state, last.installed_pages),
        (State::Aborted, counted + 1)
    );
    let told = |launch: &Launch| {
        let last = launch.snapshot();
        (last.digest, last.measured_pages)
    };
    assert_eq!(told(&launch), (None, 0), "none of the first pages alone");

    let (launch, answer) = unmeasured().finish(&FinishArgs::default());
    let refusal = answer.unwrap_err();
    assert!(
        refusal.message.contains("launch digest died"),
        "{refusal:?}"
    );
    assert_eq!(launch.snapshot().state, State::Aborted);
    assert_eq!(told(&launch), (None, 0));
    assert_eq!(unmeasured().settle().snapshot().state, State::Aborted);
    let aborted = unmeasured().abort(AbortReason::Requested);
    assert_eq!(told(&aborted), (None, 0));
}
