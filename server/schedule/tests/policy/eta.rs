//! What is said of the queue comes true.

use std::time::Duration;

use proptest::prelude::*;
use stagepages_schedule::Class;

use crate::{
    MILLI,
    simulator::{Client, Key, Machine, Simulator},
};

fn clients() -> impl Strategy<Value = Vec<Client>> {
    let bulk = (1..1500_u64).prop_map(|pages| Client::bulk(Duration::ZERO, pages));
    let calls = (1..30_usize, 16..65_u64, 1..4_usize).prop_map(|(calls, pages, window)| {
        Client::closed_loop(Duration::ZERO, calls, pages).window(window)
    });
    let client =
        (prop_oneof![bulk, calls], 0..3_usize, 0..400_u32).prop_map(|(client, class, at)| Client {
            arrives: MILLI * at,
            ..client.class(Class::ALL[class])
        });
    prop::collection::vec(client, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// All have arrived by the time of the first question, since nobody foresees arrivals.
    #[test]
    fn expected_times_are_within_a_tenth_once_measured(
        clients in clients(),
        page_time in prop_oneof![Just((MILLI, 1)), Just((MILLI * 3, 1)), Just((MILLI / 20, 8))],
        questions in prop::collection::vec(450..12_000_u32, 1..8),
    ) {
        let (page_time, chunk) = page_time;
        let machine = Machine { page_time, chunk, ..Machine::default() };
        let keys = 0..Key::try_from(clients.len()).unwrap();
        let mut simulator = Simulator::new(machine, clients);
        let mut questions = questions;
        questions.sort_unstable();
        let mut said = Vec::new();
        for at in questions {
            simulator.run_until(MILLI * at);
            let waiting: Vec<_> = simulator.scheduler.queue().map(|waiting| waiting.key).collect();
            for key in keys.clone().filter(|key| waiting.contains(key)) {
                said.push((MILLI * at, key, simulator.place(key).unwrap().eta));
            }
        }
        simulator.run();
        simulator.assert_all_is_installed();
        for (at, key, eta) in said {
            let truth = simulator.finish(key).saturating_sub(at);
            // Beneath a few pages and messages there is nothing to be a tenth of.
            let least = page_time * 2 + MILLI * 2;
            prop_assert!(eta.abs_diff(truth) <= truth / 10 + least, "{key} at {at:?}: {eta:?} for {truth:?}");
        }
    }
}

#[test]
fn a_place_counts_those_before_it_and_their_pages() {
    let clients = [
        Client::bulk(Duration::ZERO, 500),
        Client::bulk(MILLI, 300),
        Client::bulk(MILLI * 2, 200).class(Class::High),
        Client::bulk(MILLI * 3, 100),
    ];
    let mut simulator = Simulator::new(Machine::default(), clients);
    simulator.run_until(MILLI * 4);
    let of = |key| {
        simulator
            .place(key)
            .map(|place| (place.position, place.pages_ahead / 10 * 10))
            .unwrap()
    };
    // The first has the turn until its grant is used up.
    assert_eq!(
        [of(0), of(2), of(1), of(3)],
        [(0, 0), (1, 490), (3, 690), (4, 990)].map(|(at, ahead)| (at, ahead))
    );
    let order: Vec<_> = simulator
        .scheduler
        .queue()
        .map(|waiting| waiting.key)
        .collect();
    assert_eq!(order, [0, 2, 1, 3]);
}

#[test]
fn a_launch_between_two_calls_keeps_its_place_and_what_is_planned_of_it() {
    let clients = [
        Client::closed_loop(Duration::ZERO, 10, 10).think(MILLI),
        Client::bulk(MILLI, 100),
    ];
    let mut simulator = Simulator::new(Machine::default(), clients);
    // Stops when the first is between two calls: it has nothing to install, and the turn.
    let mut at = MILLI * 50;
    while simulator
        .scheduler
        .queue()
        .next()
        .is_none_or(|first| first.pages > 0)
    {
        at += MILLI / 10;
        assert!(simulator.run_until(at));
    }
    assert_eq!(simulator.place(0).unwrap().position, 0);
    let (first, second) = (simulator.place(0).unwrap(), simulator.place(1).unwrap());
    assert_eq!(second.position, 1);
    assert!(
        second.pages_ahead > 0 && second.eta > first.eta + MILLI * 99,
        "{first:?} {second:?}"
    );
    assert_eq!(simulator.scheduler.waiting(), 1);
}
