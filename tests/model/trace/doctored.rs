//! That each check can fail: a sound trace, and what is done to it.
//!
//! **Invariant:** a doctored trace breaks one rule, and is caught by the check of that rule alone.
use stagepages_kernel_model::{Call, Event, Note, What};

use super::checks::{self, Held};
use super::order;
use super::sound::{SEV, snp, tdx};

const EIO: i32 = 5;

type Check = (&'static str, fn(&[Event]) -> Held);

const CHECKS: [Check; 10] = [
    ("violations", checks::no_violations),
    ("signals", checks::signals_are_blocked),
    ("descriptors", checks::descriptors_close_on_exec),
    ("chunks", |events| checks::chunks_are_bounded(events, 64)),
    ("twice", checks::no_page_is_submitted_twice),
    ("rejected", checks::no_rejected_cpuid_is_submitted_again),
    ("commands", checks::one_command_at_a_time),
    ("errors", checks::errors_are_zeroed),
    ("device", |events| {
        if is_snp(events) {
            checks::one_sev_descriptor(events)
        } else {
            Ok(())
        }
    }),
    ("order", |events| {
        if is_snp(events) {
            order::snp(events)
        } else {
            order::tdx(events)
        }
    }),
];

fn is_snp(events: &[Event]) -> bool {
    let mut notes = events.iter().filter_map(Event::ended);
    notes.any(|note| note.is(Call::SnpLaunchUpdate))
}

/// Where the `nth` event of `call` is, at its begin or its end.
fn place(events: &[Event], call: Call, nth: usize, at_end: bool) -> usize {
    let is_it = |event: &Event| {
        let note = if at_end {
            event.ended()
        } else {
            checks::begun(event)
        };
        note.is_some_and(|note| note.is(call))
    };
    let places = events.iter().enumerate().filter(|(_, event)| is_it(event));
    places
        .map(|(place, _)| place)
        .nth(nth)
        .expect("such an event")
}

fn note(events: &mut [Event], call: Call, nth: usize, at_end: bool) -> &mut Note {
    let place = place(events, call, nth, at_end);
    let (What::Begin(note) | What::End(note)) = &mut events[place].what else {
        panic!("a place of no call");
    };
    note
}

/// Begin and end of a call, taken out.
fn take(events: &mut Vec<Event>, call: Call) -> Vec<Event> {
    let is_it = |event: &Event| {
        let note = checks::begun(event).or(event.ended());
        note.is_some_and(|note| note.is(call))
    };
    let (taken, left) = std::mem::take(events).into_iter().partition(is_it);
    *events = left;
    taken
}

/// `change` made to a sound trace is caught by the checks `by`, and by no others.
#[track_caller]
fn is_caught_by(mut events: Vec<Event>, by: &[&str], change: impl FnOnce(&mut Vec<Event>)) {
    for (name, check) in CHECKS {
        assert_eq!(check(&events), Ok(()), "{name} of a sound trace");
    }
    change(&mut events);
    for (name, check) in CHECKS {
        assert_eq!(
            check(&events).is_err(),
            by.contains(&name),
            "{name}: {:?}",
            check(&events)
        );
    }
}

#[track_caller]
fn is_caught(events: Vec<Event>, by: &str, change: impl FnOnce(&mut Vec<Event>)) {
    is_caught_by(events, &[by], change);
}

/// A sound trace, the call that installs its pages, and that which ends it.
type Sound = (fn() -> Vec<Event>, Call, Call);

const BOTH: [Sound; 2] = [
    (snp, Call::SnpLaunchUpdate, Call::SnpLaunchFinish),
    (tdx, Call::TdxInitMemRegion, Call::TdxFinalizeVm),
];

#[test]
fn a_signal_that_is_not_blocked() {
    for (trace, install, finish) in BOTH {
        // SIGTERM; SIGCHLD; the last real-time signal.
        for open in ["fffffffe7ffbbeff", "fffffffe7ffafeff", "7ffffffe7ffbfeff"] {
            for call in [install, finish] {
                is_caught(trace(), "signals", |events| {
                    note(events, call, 0, false).sigmask = Some(open.to_owned());
                });
            }
        }
        is_caught(trace(), "signals", |events| {
            note(events, install, 1, false).sigmask = None;
        });
    }
}

#[test]
fn a_guest_memfd_that_survives_an_exec() {
    for (trace, ..) in BOTH {
        is_caught(trace(), "descriptors", |events| {
            let last = events
                .iter()
                .rposition(|event| checks::descriptor(event).is_some());
            let What::Fd(told) = &mut events[last.unwrap()].what else {
                panic!("a place of no descriptor");
            };
            told.cloexec = false;
        });
        is_caught(trace(), "descriptors", |events| {
            events.retain(|event| !matches!(event.what, What::Fd(_)));
        });
    }
}

#[test]
fn a_chunk_over_the_limit() {
    for (trace, install, _) in BOTH {
        is_caught(trace(), "chunks", |events| {
            note(events, install, 1, true).pages = Some(65);
        });
    }
    is_caught(snp(), "chunks", |events| {
        let table = note(events, Call::SnpLaunchUpdate, 2, true);
        (table.pages, table.pages_done) = (Some(2), Some(2));
    });
}

#[test]
fn a_page_that_is_submitted_twice() {
    for (trace, install, _) in BOTH {
        // The last page of the first call, as the first of the second.
        is_caught(trace(), "twice", |events| {
            note(events, install, 1, true).gfn = Some(63);
        });
        // A page that the kernel refused for a cause of its own.
        is_caught(trace(), "twice", |events| {
            let first = note(events, install, 0, true);
            (first.pages_done, first.errno, first.ret) = (Some(3), Some(EIO), Some(-1));
            note(events, install, 1, true).gfn = Some(3);
        });
    }
}

/// As it was, as firmware would have it, or among others: the model tells no contents, and none are right.
#[test]
fn a_cpuid_page_that_is_submitted_after_its_rejection() {
    const NTH: usize = 2;
    for (gfn, pages, page_type) in [(0x100, 1, 6), (0xff, 2, 1)] {
        is_caught(snp(), "rejected", |events| {
            let install = Call::SnpLaunchUpdate;
            let first = place(events, install, NTH, false);
            let last = place(events, install, NTH, true);
            let again = events[first..=last].to_vec();
            events.splice(first..first, again);
            let rejected = note(events, install, NTH, true);
            (rejected.errno, rejected.ret) = (Some(EIO), Some(-1));
            (rejected.error, rejected.pages_done) = (Some(0x16), Some(0));
            let again = note(events, install, NTH + 1, true);
            (again.gfn, again.pages) = (Some(gfn), Some(pages));
            (again.page_type, again.pages_done) = (Some(page_type), Some(pages));
        });
    }
}

/// What is no mistake: the rest of a short count, a page that was asked to be tried again, a page that firmware refused and the kernel took back.
#[test]
fn a_page_that_is_rightly_submitted_again() {
    for (trace, install, _) in BOTH {
        for (errno, error) in [
            (None, 0),
            (Some(4), 0),
            (Some(11), 0),
            (Some(16), 0),
            (Some(EIO), 0x1a),
        ] {
            let mut events = trace();
            let first = note(&mut events, install, 0, true);
            (first.pages_done, first.errno, first.error) = (Some(3), errno, Some(error));
            note(&mut events, install, 1, true).gfn = Some(3);
            assert_eq!(checks::no_page_is_submitted_twice(&events), Ok(()));
        }
    }
}

#[test]
fn two_commands_at_a_time() {
    for (trace, install, finish) in BOTH {
        // The second call begins before the first has returned.
        is_caught(trace(), "commands", |events| {
            let second = place(events, install, 1, false);
            let begun = events.remove(second);
            let first = place(events, install, 0, true);
            events.insert(first, begun);
        });
        // A command that never returns.
        is_caught(trace(), "commands", |events| {
            let end = place(events, install, 1, true);
            events.remove(end);
        });
        // One that another thread ends.
        is_caught(trace(), "commands", |events| {
            let end = place(events, finish, 0, true);
            events[end].tid += 1;
        });
    }
}

#[test]
fn an_error_that_is_not_zeroed() {
    for (trace, install, finish) in BOTH {
        for (call, left) in [
            (install, Some(0x16)),
            (finish, Some(1 << 40)),
            (finish, None),
        ] {
            is_caught(trace(), "errors", |events| {
                note(events, call, 0, false).error = left;
            });
        }
    }
}

#[test]
fn another_dev_sev() {
    for call in [Call::SnpLaunchUpdate, Call::SnpLaunchFinish] {
        is_caught(snp(), "device", |events| {
            note(events, call, 0, true).sev_fd = Some(SEV + 1);
        });
    }
}

#[test]
fn a_step_before_another_that_it_needs() {
    for (trace, steps) in [
        (
            snp as fn() -> Vec<Event>,
            &[
                Call::CreateVm,
                Call::SevInit2,
                Call::CreateGuestMemfd,
                Call::SetUserMemoryRegion2,
                Call::SetMemoryAttributes,
                Call::SnpLaunchStart,
                Call::CreateVcpu,
                Call::SetCpuid2,
            ][..],
        ),
        (
            tdx,
            &[
                Call::CreateVm,
                Call::TdxCapabilities,
                Call::EnableCap,
                Call::TdxInitVm,
                Call::CreateGuestMemfd,
                Call::SetUserMemoryRegion2,
                Call::SetMemoryAttributes,
                Call::CreateVcpu,
                Call::SetCpuid2,
                Call::TdxInitVcpu,
            ][..],
        ),
    ] {
        for late in steps {
            // Without a start there is no number to keep to either.
            let by: &[&str] = if *late == Call::SnpLaunchStart {
                &["device", "order"]
            } else {
                &["order"]
            };
            is_caught_by(trace(), by, |events| {
                let taken = take(events, *late);
                events.extend(taken);
            });
            is_caught_by(trace(), by, |events| drop(take(events, *late)));
        }
    }
}

#[test]
fn a_step_after_the_end() {
    for (trace, install, finish) in BOTH {
        is_caught(trace(), "order", |events| {
            let ended = take(events, finish);
            let before = place(events, install, 1, false);
            events.splice(before..before, ended);
        });
    }
}

#[test]
fn a_violation() {
    for (trace, ..) in BOTH {
        is_caught(trace(), "violations", |events| {
            events.push(Event {
                what: What::Violation {
                    call: "fallocate".to_owned(),
                    vm: Some(0),
                    words: "a hole was punched".to_owned(),
                },
                ..events[0].clone()
            });
        });
    }
}

#[test]
fn an_empty_trace_proves_nothing() {
    for (name, check) in CHECKS {
        // Of a trace in which nothing was installed, nothing was installed twice, and nobody broke a rule.
        let may_be_empty = ["violations", "twice", "rejected", "device"].contains(&name);
        assert_eq!(check(&[]).is_ok(), may_be_empty, "{name}");
    }
}
