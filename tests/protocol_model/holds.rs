//! The protocol as it is: every property holds in every state.
//!
//! **Invariant:** an exploration is cut off nowhere; it ends when there is no state left.

use stateright::{Checker, Model};

use crate::{launches, protocol::Protocol};

#[test]
fn unordered_streams() {
    check("unordered streams", launches::unordered());
}

#[test]
fn unordered_unary_calls() {
    check("unordered unary calls", launches::unordered_unary());
}

#[test]
fn unordered_streams_whose_connections_are_lost() {
    check("unordered, losses", launches::unordered_with_losses());
}

#[test]
fn unordered_clients_that_ask_for_lost_answers() {
    check("unordered, asking", launches::unordered_asking());
}

#[test]
fn an_unordered_launch_that_forgets() {
    check("unordered, window of 1", launches::unordered_forgetting(1));
}

#[test]
fn calls_without_ids() {
    check("unordered, no ids", launches::unordered_forgetting(0));
}

#[test]
fn two_clients_with_the_same_bytes() {
    check("unordered twins", launches::twins());
}

#[test]
fn one_request_id_for_two_contents() {
    check("one request id for two", launches::one_id_for_two());
}

#[test]
fn two_drivers_of_a_sequence_on_streams() {
    check("sequenced, contested", launches::contested());
}

#[test]
fn two_drivers_of_a_sequence_with_unary_calls() {
    check("sequenced, contested, unary", launches::contested_unary());
}

#[test]
fn a_rival_for_one_number() {
    check("sequenced, intruded", launches::intruded());
}

#[test]
fn clients_that_take_turns() {
    check("sequenced, taking turns", launches::taking_turns());
}

#[test]
fn a_driver_that_asks_for_lost_answers() {
    check("sequenced, asking", launches::driver_asking());
}

#[test]
fn a_sequence_that_forgets() {
    check("sequenced, window of 1", launches::sequenced_forgetting());
}

/// Visits every state, and says how many there are.
fn check(name: &str, protocol: Protocol) {
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.is_done(), "{name}: the exploration was cut off");
    report(&format!(
        "{name}: {} states, all of them\n",
        checker.unique_state_count()
    ));
}

/// One line, past libtest's capture: this is the evidence.
#[expect(
    clippy::expect_used,
    reason = "a helper of tests: a panic is a failing assertion"
)]
pub(crate) fn report(line: &str) {
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).expect("stderr is open");
}
