//! What is said of the queue comes true.

use std::time::Duration;

use proptest::prelude::*;
use stagepages_schedule::{Class, Waiting};

use crate::{
    MILLI,
    simulator::{Client, Key, Machine, Simulator},
};

fn clients(classes: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Client>> {
    let bulk = (1..800_u64).prop_map(|pages| Client::bulk(Duration::ZERO, pages));
    let calls = (1..20_usize, 16..65_u64, 1..4_usize).prop_map(|(calls, pages, window)| {
        Client::closed_loop(Duration::ZERO, calls, pages).window(window)
    });
    let client =
        (prop_oneof![bulk, calls], classes, 0..400_u32).prop_map(|(client, class, at)| Client {
            arrives: MILLI * at,
            ..client.class(Class::ALL[class])
        });
    prop::collection::vec(client, 1..16)
}

/// What was said of a launch, when it was said, and what came true.
struct Said {
    class: Class,
    eta: Duration,
    truth: Duration,
}

impl Said {
    /// Whether it was true but for a tenth, or a few pages and messages, beneath which there is nothing to be a tenth of.
    fn is_within_a_tenth(&self, page_time: Duration, or: Duration) -> bool {
        self.eta.abs_diff(self.truth) <= self.truth / 10 + page_time * 2 + MILLI * 2 + or
    }
}

/// Asks at some times for what is expected of all that wait. All have arrived by then, since nobody foresees arrivals.
fn ask_around(
    clients: &[Client],
    page_time: Duration,
    chunk: u64,
    mut times: Vec<u32>,
) -> Vec<Said> {
    let machine = Machine {
        page_time,
        chunk,
        ..Machine::default()
    };
    let mut simulator = Simulator::new(machine, clients.to_vec());
    times.sort_unstable();
    let mut said = Vec::new();
    for at in times {
        simulator.run_until(MILLI * at);
        for waiting in simulator.scheduler.queue() {
            said.push((
                MILLI * at,
                waiting,
                simulator.place(waiting.key).unwrap().eta,
            ));
        }
    }
    simulator.run();
    simulator.assert_all_is_installed();
    let true_of = |(at, waiting, eta): (Duration, Waiting<Key>, Duration)| Said {
        class: waiting.class,
        eta,
        truth: simulator.finish(waiting.key).saturating_sub(at),
    };
    said.into_iter().map(true_of).collect()
}

fn machines() -> impl Strategy<Value = (Duration, u64)> {
    prop_oneof![
        Just((MILLI, 1)),
        Just((MILLI * 3, 1)),
        Just((MILLI / 20, 8))
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn expected_times_are_within_a_tenth_once_measured(
        clients in clients(1..2),
        (page_time, chunk) in machines(),
        times in prop::collection::vec(450..8000_u32, 1..8),
    ) {
        for said in ask_around(&clients, page_time, chunk, times) {
            let (eta, truth) = (said.eta, said.truth);
            prop_assert!(said.is_within_a_tenth(page_time, Duration::ZERO), "{eta:?} for {truth:?}");
        }
    }

    /// Between classes, a launch that is done just before its class's quantum ends or just after it is off by a wait for the next.
    #[test]
    fn beneath_other_classes_they_are_within_a_tenth_or_one_wait(
        clients in clients(0..3),
        (page_time, chunk) in machines(),
        times in prop::collection::vec(450..8000_u32, 1..8),
    ) {
        for said in ask_around(&clients, page_time, chunk, times) {
            let quanta = match said.class { Class::High => 1, Class::Normal => 15, Class::Low => 63 };
            let (eta, truth) = (said.eta, said.truth);
            prop_assert!(said.is_within_a_tenth(page_time, MILLI * 52 * quanta), "{eta:?} for {truth:?}");
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
        [(0, 0), (1, 490), (2, 690), (3, 990)]
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
