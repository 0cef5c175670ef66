//! The launches that are checked: small, but with every kind of overlap and every way of sending.
//!
//! **Invariant:** wherever a window is not said to be small, it keeps all answers: then no count may be lost.

use crate::{
    client::{Client, Outcome},
    host::Rules,
    plan::{
        Plan,
        Resume::{Ask, Repeat},
        Transport::{Stream, Unary},
    },
    protocol::{Example, Party, Protocol},
    system::System,
};

/// Answers kept where none is to be forgotten.
const ALL_ANSWERS: usize = 8;

/// Two clients that race for four pages on an UNORDERED launch.
pub(crate) fn unordered() -> Protocol {
    launch(
        false,
        [
            Plan::new('a', Stream, Repeat, [(0, 1..3), (1, 0..2)]),
            Plan::new('b', Stream, Repeat, [(2, 2..4), (3, 0..1)]),
        ],
        &[RESTARTED_AND_COMPLETE, SHORT, VOID, ORPHAN, BOTH_ENDED],
    )
}

/// Three unary calls on an UNORDERED launch.
pub(crate) fn unordered_unary() -> Protocol {
    let mut protocol = smaller_unordered();
    for plan in &mut protocol.plans {
        plan.transport = Unary;
    }
    protocol
}

/// As [`unordered`], and connections are lost besides; the clients live.
pub(crate) fn unordered_with_losses() -> Protocol {
    Protocol {
        losses: 1,
        mortal: vec![Party::Daemon, Party::Host],
        examples: vec![SHORT, VOID, ORPHAN, BOTH_ENDED],
        ..smaller_unordered()
    }
}

/// Three calls on an UNORDERED launch; lost answers are asked for.
pub(crate) fn unordered_asking() -> Protocol {
    smaller_unordered().resuming_by(Ask)
}

/// Three calls on an UNORDERED launch, of whose answers only `window` are kept; 0 is as without ids.
pub(crate) fn unordered_forgetting(window: usize) -> Protocol {
    let mut protocol = smaller_unordered();
    protocol.rules.window = window;
    protocol.examples = vec![UNKNOWN, SHORT, VOID, ORPHAN, BOTH_ENDED];
    protocol
}

/// Both clients have the same bytes: each finds pages as it wants them that the other installed.
pub(crate) fn twins() -> Protocol {
    launch(
        false,
        [
            Plan::new('x', Stream, Repeat, [(0, 0..2), (1, 2..4)]),
            Plan::new('x', Stream, Repeat, [(2, 1..4)]),
        ],
        &[RESTARTED_AND_COMPLETE, UNKNOWN, SHORT, BOTH_ENDED],
    )
}

/// Both clients use one request id, each for content of its own.
pub(crate) fn one_id_for_two() -> Protocol {
    launch(
        false,
        [
            Plan::new('a', Stream, Repeat, [(0, 1..3), (1, 0..2)]),
            Plan::new('b', Stream, Repeat, [(0, 2..4)]),
        ],
        &[RESTARTED_AND_COMPLETE, TAKEN, SHORT, BOTH_ENDED],
    )
}

/// Two clients that both take themselves for the driver of a SEQUENCED launch.
pub(crate) fn contested() -> Protocol {
    launch(
        true,
        [
            Plan::new('a', Stream, Repeat, [(0, 2..4), (1, 0..2)]),
            Plan::new('b', Stream, Repeat, [(0, 1..3), (1, 0..1)]),
        ],
        &[
            RESTARTED_AND_COMPLETE,
            TAKEN,
            GIVEN_UP,
            VOID,
            ORPHAN,
            BOTH_ENDED,
        ],
    )
}

/// The numbers of a SEQUENCED launch in calls that nothing orders, and a rival for the second of them.
pub(crate) fn contested_unary() -> Protocol {
    launch(
        true,
        [
            Plan::new('a', Unary, Repeat, [(0, 2..4), (1, 0..2)]),
            Plan::new('b', Unary, Repeat, [(1, 1..3)]),
        ],
        &[
            RESTARTED_AND_COMPLETE,
            TAKEN,
            SHORT,
            VOID,
            ORPHAN,
            BOTH_ENDED,
        ],
    )
}

/// A driver that loses connections but does not crash, and a rival for its second number.
pub(crate) fn intruded() -> Protocol {
    Protocol {
        losses: 1,
        mortal: vec![Party::Daemon, Party::Host],
        ..launch(
            true,
            [
                Plan::new('a', Stream, Repeat, [(0, 2..4), (1, 0..2)]),
                Plan::new('b', Stream, Repeat, [(1, 1..3)]),
            ],
            &[TAKEN, SHORT, VOID, ORPHAN, BOTH_ENDED],
        )
    }
}

/// The clients take turns on a SEQUENCED launch: Bob's number is between Ada's.
pub(crate) fn taking_turns() -> Protocol {
    launch(
        true,
        [
            Plan::new('a', Stream, Repeat, [(0, 2..4), (2, 0..2)]),
            Plan::new('b', Stream, Repeat, [(1, 1..3)]),
        ],
        &[SHORT, VOID, ORPHAN, BOTH_ENDED],
    )
}

/// One driver of a SEQUENCED launch, who asks for lost answers; Bob stages nothing.
pub(crate) fn driver_asking() -> Protocol {
    launch(
        true,
        [
            Plan::new('a', Stream, Ask, [(0, 2..4), (1, 1..2), (2, 0..1)]),
            Plan::new('b', Stream, Ask, []),
        ],
        &[RESTARTED_AND_COMPLETE, VOID, ORPHAN, BOTH_ENDED],
    )
}

/// A SEQUENCED launch that keeps one answer.
pub(crate) fn sequenced_forgetting() -> Protocol {
    let mut protocol = launch(
        true,
        [
            Plan::new('a', Stream, Repeat, [(0, 2..4), (1, 0..2)]),
            Plan::new('b', Stream, Repeat, [(1, 1..3)]),
        ],
        &[RESTARTED_AND_COMPLETE, UNKNOWN, VOID, ORPHAN, BOTH_ENDED],
    );
    protocol.rules.window = 1;
    protocol
}

fn smaller_unordered() -> Protocol {
    launch(
        false,
        [
            Plan::new('a', Stream, Repeat, [(0, 1..3), (1, 0..2)]),
            Plan::new('b', Stream, Repeat, [(2, 2..4)]),
        ],
        &[RESTARTED_AND_COMPLETE, SHORT, VOID, ORPHAN, BOTH_ENDED],
    )
}

fn launch(sequenced: bool, plans: [Plan; 2], examples: &[Example]) -> Protocol {
    Protocol {
        rules: Rules {
            sequenced,
            window: ALL_ANSWERS,
            flaw: None,
        },
        plans,
        mortal: Party::ALL.to_vec(),
        losses: 0,
        // One waiting call is enough for a daemon to leave behind; more only wait in another place.
        slots: 1,
        examples: examples.to_vec(),
    }
}

const RESTARTED_AND_COMPLETE: Example = ("a restarted client ends complete", |_, system| {
    any_client(system, |client| client.restarted && client.is_complete())
});
const SHORT: Example = ("a client ends with a short count", |_, system| {
    any_outcome(system, |outcome| {
        matches!(
            outcome,
            Outcome::Counted {
                complete: false,
                ..
            }
        )
    })
});
const TAKEN: Example = ("a client finds its number or id taken", |_, system| {
    any_outcome(system, |outcome| outcome == Outcome::Taken)
});
const GIVEN_UP: Example = ("a client gives up what was behind a stop", |_, system| {
    any_outcome(system, |outcome| outcome == Outcome::GivenUp)
});
const UNKNOWN: Example = ("a client ends without knowing a count", |_, system| {
    any_outcome(system, |outcome| {
        outcome.is_final() && outcome.claim().is_none()
    })
});
const VOID: Example = ("a client learns that the host died", |_, system| {
    any_client(system, |client| client.void)
});
const ORPHAN: Example = (
    "a call is with the host when its daemon is gone",
    |_, system| {
        let orphaned = |connection: &crate::message::Connection| {
            !connection.is_read() && !system.client(connection.id.who).restarted
        };
        !system.mortal.contains(&Party::Daemon)
            && system.connections.iter().any(|connection| {
                orphaned(connection) && system.queue.iter().any(|&(id, _)| id == connection.id)
            })
    },
);
const BOTH_ENDED: Example = ("both clients have their counts", |_, system| {
    !any_client(system, |client| client.void || !client.has_ended())
});

fn any_client(system: &System, is: impl Fn(&Client) -> bool) -> bool {
    system.clients.iter().any(is)
}

/// Whether a client that has ended has such an outcome.
fn any_outcome(system: &System, is: impl Fn(Outcome) -> bool) -> bool {
    any_client(system, |client| {
        client.has_ended() && !client.void && client.outcomes.iter().copied().any(&is)
    })
}
