//! The protocol built wrongly: for every mistake there is a property that does not hold, and a run that shows it.
//!
//! **Invariant:** each test names the property that has to fail; that some other one fails does not do.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use crate::{
    flaw::Flaw,
    holds::report,
    launches,
    plan::Resume::Ask,
    properties::{EXACT, NO_FALSE_CLAIM, NONE_LOST, ONCE, ORDERED, STOPPED},
    protocol::Protocol,
};

#[test]
fn a_host_that_does_not_look_for_the_first_answer_loses_a_count() {
    let protocol = launches::unordered().with(Flaw::RepeatsAreNew);
    refuted("repeats are judged anew", protocol, NONE_LOST);
}

#[test]
fn a_host_that_does_not_compare_content_gives_one_client_the_count_of_another() {
    let protocol = launches::contested().with(Flaw::ContentIsNotCompared);
    refuted("content is not compared", protocol, NO_FALSE_CLAIM);
}

#[test]
fn a_host_that_takes_any_number_breaks_the_sequence() {
    let protocol = launches::taking_turns().with(Flaw::AnyNumberWillDo);
    refuted("any number will do", protocol, ORDERED);
}

#[test]
fn a_host_that_overwrites_installs_a_page_twice() {
    let protocol = launches::unordered().with(Flaw::Overwrites);
    refuted("pages are overwritten", protocol, ONCE);
}

#[test]
fn a_host_that_counts_what_was_asked_miscounts() {
    let protocol = launches::unordered().with(Flaw::CountsWhatWasAsked);
    refuted("the request is counted", protocol, EXACT);
}

#[test]
fn a_stream_that_goes_on_behind_a_stop_spoils_the_sequence() {
    let protocol = launches::contested().with(Flaw::GoesOnBehindAStop);
    refuted("streams go on behind a stop", protocol, STOPPED);
}

#[test]
fn a_daemon_that_revives_a_host_has_pages_installed_twice() {
    let protocol = launches::unordered().with(Flaw::RevivesTheHost);
    refuted("a dead host is revived", protocol, ONCE);
}

#[test]
fn a_client_that_makes_up_new_ids_after_a_crash_loses_a_count() {
    let protocol = launches::unordered().with(Flaw::RenamesItsCalls);
    refuted("a restarted client renames its calls", protocol, NONE_LOST);
}

/// GetStageResult names a number and no content, so it answers for whoever used the number. A session resumes by asking only if nobody
/// else uses its numbers and ids; otherwise by sending the calls again, which the host compares.
#[test]
fn a_client_that_asks_for_a_number_that_others_use_takes_their_count_for_its_own() {
    let protocol = launches::contested().resuming_by(Ask);
    refuted("contested numbers are asked for", protocol, NO_FALSE_CLAIM);
}

/// Looks for a run in which `property` does not hold, and tells it. One thread looks, so that it is the same run every time, and the shortest.
fn refuted(name: &str, protocol: Protocol, property: &'static str) {
    let found = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = protocol.checker().finish_when(found).spawn_bfs().join();
    let run = checker.assert_any_discovery(property);
    let steps = run.into_actions();
    report(&format!(
        "{name}: not so that {property}; shown in {} steps: {steps:?}\n",
        steps.len()
    ));
}
