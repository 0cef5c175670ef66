//! What has to hold, in every state that can be reached.
//!
//! The properties are stated over the record of what was applied and over what the clients would report; none of them looks at how the host
//! or the session came to its answer.
//!
//! **Invariant:** every property is an `always`: that sessions come to an end is stated of the states in which nothing more goes on. Connections
//! are numbered, so no state comes twice in a run, and an exploration that ends has met no endless retry.

use std::collections::BTreeSet;

use stateright::{Model, Property};

use crate::{
    client::{Client, Outcome},
    message::CallIndex,
    plan::{Transport, Who},
    protocol::{Action, Protocol},
    system::System,
};

pub(crate) const ONCE: &str = "a page is installed at most once in the life of a launch";
pub(crate) const EXACT: &str =
    "what the host counts is what it installed, and what its ledger holds";
pub(crate) const NO_FALSE_CLAIM: &str =
    "a count that a client holds is the one that the host gave its call";
pub(crate) const NOT_MORE: &str = "no client claims more than was installed for it";
pub(crate) const NONE_LOST: &str = "no count is lost while its answer is kept";
pub(crate) const COMPLETE: &str =
    "a client that ends complete has its whole plan installed, in order";
pub(crate) const ORDERED: &str =
    "calls are applied in the order of their numbers, each number once";
pub(crate) const STOPPED: &str = "what is behind a stop of a sequenced stream is never applied";
pub(crate) const ENDS: &str =
    "every session comes to its end, or waits for a number that is somebody else's";

impl Model for Protocol {
    type State = System;
    type Action = Action;

    fn init_states(&self) -> Vec<System> {
        vec![System::new(self)]
    }

    fn actions(&self, system: &System, actions: &mut Vec<Action>) {
        actions.extend(system.advances(self));
        actions.extend(system.mishaps());
    }

    fn next_state(&self, system: &System, action: Action) -> Option<System> {
        Some(system.clone().after(self, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let examples = self.examples.iter();
        let examples = examples.map(|&(name, condition)| Property::sometimes(name, condition));
        [
            Property::always(ONCE, installed_once),
            Property::always(EXACT, counted_exactly),
            Property::always(NO_FALSE_CLAIM, no_false_claim),
            Property::always(NOT_MORE, not_more_claimed),
            Property::always(NONE_LOST, none_lost),
            Property::always(COMPLETE, complete_is_complete),
            Property::always(ORDERED, in_order),
            Property::always(STOPPED, stopped_is_stopped),
            Property::always(ENDS, comes_to_an_end),
        ]
        .into_iter()
        .chain(examples)
        .collect()
    }
}

fn installed_once(_: &Protocol, system: &System) -> bool {
    let mut seen = BTreeSet::new();
    let mut frames = system.history.iter().flat_map(|applied| &applied.frames);
    frames.all(|frame| seen.insert(*frame))
}

fn counted_exactly(_: &Protocol, system: &System) -> bool {
    let history = &system.history;
    let exact = history
        .iter()
        .all(|applied| usize::from(applied.counted) == applied.frames.len());
    let installed = history.iter().flat_map(|applied| &applied.frames);
    exact
        && system
            .host
            .as_ref()
            .is_none_or(|host| installed.eq(host.ledger.iter().map(|(frame, _)| frame)))
}

fn no_false_claim(protocol: &Protocol, system: &System) -> bool {
    valid_calls(protocol, system).all(|(who, call)| {
        let claim = system.client(who).outcomes[call].claim();
        claim.is_none_or(|claim| usize::from(claim) == system.installed_by(who, call))
    })
}

fn not_more_claimed(protocol: &Protocol, system: &System) -> bool {
    Who::BOTH.into_iter().all(|who| {
        let client = system.client(who);
        let claims = client.outcomes.iter().filter_map(|outcome| outcome.claim());
        let claimed: usize = claims.map(usize::from).sum();
        let calls = 0..protocol.plan(who).calls.len();
        let installed: usize = calls.map(|call| system.installed_by(who, call)).sum();
        client.void || claimed <= installed
    })
}

/// A client may end without knowing a count only if the host keeps fewer answers than there are calls; on larger windows, only of a
/// call that installed nothing.
fn none_lost(protocol: &Protocol, system: &System) -> bool {
    let planned: usize = protocol.plans.iter().map(|plan| plan.calls.len()).sum();
    protocol.rules.window < planned
        || valid_calls(protocol, system).all(|(who, call)| {
            let outcome = system.client(who).outcomes[call];
            let unknown = outcome.is_final() && outcome.claim().is_none();
            !unknown || system.installed_by(who, call) == 0
        })
}

fn complete_is_complete(protocol: &Protocol, system: &System) -> bool {
    Who::BOTH.into_iter().all(|who| {
        let own = system.history.iter().filter(|applied| applied.who == who);
        let plan = protocol.plan(who);
        let whole = own.clone().all(|applied| {
            applied
                .frames
                .iter()
                .copied()
                .eq(plan.calls[applied.call].extent.frames())
        });
        let order = own.map(|applied| applied.call).eq(0..plan.calls.len());
        let in_any_order = !protocol.rules.sequenced && plan.transport == Transport::Unary;
        !system.client(who).is_complete() || whole && (order || in_any_order)
    })
}

fn in_order(protocol: &Protocol, system: &System) -> bool {
    let numbers = system
        .history
        .iter()
        .map(|applied| usize::from(protocol.plan(applied.who).calls[applied.call].key.0));
    !protocol.rules.sequenced || numbers.eq(0..system.history.len())
}

fn stopped_is_stopped(protocol: &Protocol, system: &System) -> bool {
    !protocol.rules.sequenced
        || Who::BOTH.into_iter().all(|who| {
            let plan = protocol.plan(who);
            let installed = |call| system.installed_by(who, call);
            let whole =
                |call: CallIndex| installed(call) == usize::from(plan.calls[call].extent.pages());
            let calls = 0..plan.calls.len();
            let behind = calls.skip_while(|&call| whole(call)).skip(1);
            plan.transport == Transport::Unary || behind.map(installed).all(|pages| pages == 0)
        })
}

fn comes_to_an_end(protocol: &Protocol, system: &System) -> bool {
    let settled = |client: &Client| {
        let waits = |outcome: &Outcome| system.is_waiting(*outcome);
        client.has_ended() || client.outcomes.iter().any(waits)
    };
    !system.advances(protocol).is_empty() || system.clients.iter().all(settled)
}

/// The calls whose counts mean something: not those of a client that knows its launch to be over.
fn valid_calls<'a>(
    protocol: &'a Protocol,
    system: &'a System,
) -> impl Iterator<Item = (Who, CallIndex)> + 'a {
    Who::BOTH
        .into_iter()
        .filter(|&who| !system.client(who).void)
        .flat_map(|who| (0..protocol.plan(who).calls.len()).map(move |call| (who, call)))
}
