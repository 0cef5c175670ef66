//! Repeats, gaps and reused names, on a simulated launch.

use std::{fs::File, io::Write as _};

use proptest::prelude::*;
use stagepages_kvm::{Gfn, GfnRange, PAGE_BYTES, PageType};

use super::{
    AbortReason, CallKey, Extent, Installation, Launch, Open, Ordering, REPLAY_WINDOW, Reason,
    Refusal, RequestId, StopFlag,
};
use crate::platform::{Effect, Fault, Firmware, Memory, SimPlatform, SimScript, Source};

fn range(first: u64, pages: u64) -> GfnRange {
    GfnRange::new(Gfn::new(first).unwrap(), pages).unwrap()
}

fn launch(ordering: Ordering, faults: &[(u64, Effect)]) -> Launch {
    let plan = Memory::plan(&[range(0, 1024)]).unwrap();
    let faults = faults
        .iter()
        .map(|(gfn, effect)| {
            (
                Gfn::new(*gfn).unwrap(),
                Fault {
                    times: 1,
                    effect: *effect,
                },
            )
        })
        .collect();
    let script = SimScript {
        faults,
        ..SimScript::default()
    };
    let platform = SimPlatform::new(&plan, script, Firmware::instant()).unwrap();
    Launch::Open(Open::new(
        Box::new(platform),
        plan,
        [7; 32],
        StopFlag::default(),
        4,
        ordering,
        1,
    ))
}

fn number(sequence: u64) -> CallKey {
    CallKey {
        sequence: Some(sequence),
        request_id: None,
    }
}

fn name(id: &str) -> CallKey {
    CallKey {
        sequence: None,
        request_id: RequestId::new(id.as_bytes()),
    }
}

/// Stages pages whose bytes are their tags.
fn stage(
    launch: Launch,
    key: &CallKey,
    first: u64,
    page_type: PageType,
    tags: &[u8],
) -> (Launch, Result<Installation, Refusal>) {
    let mut file: File = tempfile::tempfile().unwrap();
    for tag in tags {
        file.write_all(&[*tag; PAGE_BYTES]).unwrap();
    }
    let extent = Extent {
        range: range(first, tags.len() as u64),
        page_type,
        source: Source::File((&file).into(), 0),
        proof: None,
    };
    launch.stage(key, &extent, &mut |_| {})
}

fn reason<T: std::fmt::Debug>(answer: Result<T, Refusal>) -> Reason {
    answer.unwrap_err().reason
}

#[test]
fn a_repeat_gets_the_first_answer_and_other_content_is_refused() {
    for key in [number(0), name("a call")] {
        let ordering = if key.sequence.is_some() {
            Ordering::Sequenced
        } else {
            Ordering::Unordered
        };
        let other = if key.sequence.is_some() {
            Reason::SequenceConflict
        } else {
            Reason::RequestIdReused
        };
        let (launch, first) = stage(launch(ordering, &[]), &key, 0, PageType::Normal, &[1, 2, 3]);
        let (launch, again) = stage(launch, &key, 0, PageType::Normal, &[1, 2, 3]);
        assert_eq!(first, again);
        assert_eq!(again.unwrap().installed_pages, 3);
        for (at, page_type, tags) in [
            (0, PageType::Normal, &[1, 2, 4][..]),
            (0, PageType::Normal, &[1, 2]),
            (1, PageType::Normal, &[1, 2, 3]),
            (0, PageType::Unmeasured, &[1, 2, 3]),
        ] {
            let (_, answer) = stage(
                self::launch(ordering, &[]),
                &key,
                0,
                PageType::Normal,
                &[1, 2, 3],
            );
            assert!(answer.unwrap().in_the_way.is_none());
            assert_eq!(launch.snapshot().installed_pages, 3);
            let (launch, first) = stage(
                self::launch(ordering, &[]),
                &key,
                0,
                PageType::Normal,
                &[1, 2, 3],
            );
            assert_eq!(first.unwrap().installed_pages, 3);
            let (launch, answer) = stage(launch, &key, at, page_type, tags);
            assert_eq!(reason(answer), other, "{at} {page_type} {tags:?}");
            assert_eq!(launch.snapshot().installed_pages, 3);
        }
        let (finished, done) = launch.finish(&crate::settings::FinishArgs::default());
        done.unwrap();
        let (_, again) = stage(finished, &key, 0, PageType::Normal, &[1, 2, 3]);
        assert_eq!(
            again.unwrap().installed_pages,
            3,
            "also when staging is over"
        );
    }
}

#[test]
fn a_repeat_of_a_short_call_is_held_against_what_it_did_not_install_too() {
    let (launch, _) = stage(
        launch(Ordering::Unordered, &[]),
        &CallKey::default(),
        2,
        PageType::Normal,
        &[9],
    );
    let (launch, first) = stage(launch, &name("x"), 0, PageType::Normal, &[1, 2, 3, 4]);
    assert_eq!(first.as_ref().unwrap().installed_pages, 2);
    let (launch, again) = stage(launch, &name("x"), 0, PageType::Normal, &[1, 2, 3, 4]);
    assert_eq!(first, again);
    let (_, other) = stage(launch, &name("x"), 0, PageType::Normal, &[1, 2, 3, 5]);
    assert_eq!(reason(other), Reason::RequestIdReused);
}

#[test]
fn a_repeat_is_no_oracle_for_unmeasured_contents() {
    let (launch, _) = stage(
        launch(Ordering::Unordered, &[]),
        &name("u"),
        0,
        PageType::Unmeasured,
        &[1],
    );
    let (_, guess) = stage(launch, &name("u"), 0, PageType::Unmeasured, &[2]);
    assert_eq!(guess.unwrap().installed_pages, 1);
}

#[test]
fn numbers_are_taken_in_order_and_only_by_what_was_applied() {
    let launch = launch(Ordering::Sequenced, &[(9, Effect::Firmware(7))]);
    let (launch, early) = stage(launch, &number(1), 0, PageType::Normal, &[1]);
    let early = early.unwrap_err();
    assert_eq!(
        (early.reason, early.next_sequence),
        (Reason::OutOfSequence, Some(0))
    );
    let (launch, refused) = stage(launch, &number(0), 9, PageType::Normal, &[1]);
    assert_eq!(reason(refused), Reason::FirmwareRefused);
    let (launch, outside) = stage(launch, &number(0), 5000, PageType::Normal, &[1]);
    assert_eq!(reason(outside), Reason::OutsideMemory);
    assert_eq!(launch.snapshot().next_sequence, 0);
    let (launch, applied) = stage(launch, &number(0), 9, PageType::Normal, &[1]);
    assert_eq!(applied.unwrap().installed_pages, 1);
    let (launch, exists) = stage(launch, &number(1), 9, PageType::Normal, &[1]);
    assert_eq!(reason(exists), Reason::AlreadyInstalled);
    let (launch, short) = stage(launch, &number(1), 8, PageType::Normal, &[1, 1]);
    assert_eq!(short.unwrap().installed_pages, 1);
    assert_eq!(launch.snapshot().next_sequence, 2);
    let (launch, unnumbered) = stage(launch, &name("x"), 20, PageType::Normal, &[1]);
    assert_eq!(reason(unnumbered), Reason::MalformedRequest);
    let (_, numbered) = stage(
        self::launch(Ordering::Unordered, &[]),
        &number(0),
        20,
        PageType::Normal,
        &[1],
    );
    assert_eq!(reason(numbered), Reason::MalformedRequest);
    let (_, far) = stage(
        self::launch(Ordering::Unordered, &[]),
        &number(5),
        20,
        PageType::Normal,
        &[1],
    );
    assert_eq!(reason(far), Reason::MalformedRequest);
    assert_eq!(launch.result(&number(1)).unwrap().installed_pages(), 1);
    assert_eq!(reason(launch.result(&number(2))), Reason::ResultNotFound);
}

#[test]
fn a_name_is_known_by_any_number_and_a_number_by_one_name() {
    let both = |sequence, id: &str| CallKey {
        sequence: Some(sequence),
        ..name(id)
    };
    let launch = launch(Ordering::Sequenced, &[]);
    let (launch, first) = stage(launch, &both(0, "a"), 0, PageType::Normal, &[1]);
    let (launch, second) = stage(launch, &both(1, "b"), 1, PageType::Normal, &[2]);
    assert_eq!(second.unwrap().installed_pages, 1);
    // As from a client that was restarted, and counts from another number.
    let (launch, stale) = stage(launch, &both(2, "a"), 0, PageType::Normal, &[1]);
    assert_eq!(stale, first);
    let (launch, unnamed) = stage(launch, &number(0), 0, PageType::Normal, &[1]);
    assert_eq!(unnamed, first);
    let (launch, renamed) = stage(launch, &both(0, "c"), 0, PageType::Normal, &[1]);
    assert_eq!(reason(renamed), Reason::SequenceConflict);
    assert_eq!(launch.snapshot().next_sequence, 2);
}

#[test]
fn a_forgotten_answer_is_never_applied_again() {
    let mut launch = launch(Ordering::Sequenced, &[]);
    let many = REPLAY_WINDOW as u64 + 2;
    for sequence in 0..many {
        let (next, answer) = stage(launch, &number(sequence), sequence, PageType::Normal, &[1]);
        answer.unwrap();
        launch = next;
    }
    let (launch, forgotten) = stage(launch, &number(1), 1, PageType::Normal, &[1]);
    assert_eq!(reason(forgotten), Reason::OutOfSequence);
    assert_eq!(reason(launch.result(&number(1))), Reason::ResultNotFound);
    assert_eq!(launch.result(&number(2)).unwrap().installed_pages(), 1);
    assert_eq!(launch.snapshot().installed_pages, many);
}

#[test]
fn an_aborted_launch_still_knows_its_counts() {
    let launch = launch(Ordering::Unordered, &[(6, Effect::Kernel(5))]);
    let (launch, first) = stage(launch, &name("good"), 0, PageType::Normal, &[1, 1]);
    assert_eq!(first.unwrap().installed_pages, 2);
    let (launch, fatal) = stage(launch, &name("fatal"), 4, PageType::Normal, &[1, 1, 1]);
    let fatal = fatal.unwrap_err();
    assert_eq!(
        (fatal.reason, fatal.installed_pages),
        (Reason::KernelRefused, 2)
    );
    assert_eq!(launch.result(&name("good")).unwrap().installed_pages(), 2);
    assert_eq!(
        launch.result(&name("fatal")).unwrap().applied,
        Err(Box::new(fatal.clone()))
    );
    let (launch, again) = stage(launch, &name("fatal"), 4, PageType::Normal, &[1, 1, 1]);
    assert_eq!(again.unwrap_err(), fatal);
    let (launch, new) = stage(
        launch.abort(AbortReason::Requested),
        &name("new"),
        20,
        PageType::Normal,
        &[1],
    );
    assert_eq!(reason(new), Reason::WrongState);
    assert_eq!(launch.remembered().count(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// However often and in whatever order the calls of two clients are repeated: the first answers' counts are those of the ledger.
    #[test]
    fn counts_add_up_under_any_repetition(calls in prop::collection::vec((0_u64..6, 1_u64..5, 0_u8..2), 1..12), order in prop::collection::vec(any::<prop::sample::Index>(), 1..60)) {
        let mut launch = launch(Ordering::Unordered, &[]);
        let mut first: Vec<Option<Installation>> = vec![None; calls.len()];
        for index in order.iter().map(|index| index.index(calls.len())) {
            let (at, count, tag) = calls[index];
            let tags = vec![tag; usize::try_from(count).unwrap()];
            let (next, answer) = stage(launch, &name(&format!("call {index}")), at, PageType::Normal, &tags);
            launch = next;
            match (answer, first[index]) {
                (Ok(answer), Some(known)) => prop_assert_eq!(answer, known),
                (Ok(answer), None) => first[index] = Some(answer),
                (Err(refusal), known) => {
                    prop_assert_eq!(refusal.reason, Reason::AlreadyInstalled);
                    prop_assert_eq!(known, None);
                }
            }
        }
        let counted: u64 = first.iter().flatten().map(|answer| answer.installed_pages).sum();
        prop_assert_eq!(counted, launch.snapshot().installed_pages);
    }
}
