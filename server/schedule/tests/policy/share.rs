//! Lower classes live, and within their bound.

use std::time::Duration;

use proptest::prelude::*;
use stagepages_schedule::{Class, Config};

use crate::{
    MICRO, MILLI,
    simulator::{Client, Command, Key, Machine, Simulator},
};

/// The longest time for which a launch waited between two of its commands, or from its arrival to the first.
fn longest_wait(simulator: &Simulator, key: Key, arrives: Duration) -> Duration {
    let mut last = arrives;
    let mut longest = Duration::ZERO;
    for command in simulator
        .commands
        .iter()
        .filter(|command| command.key == key)
    {
        longest = longest.max(command.begun.saturating_sub(last));
        last = command.ended;
    }
    longest
}

fn time(commands: &[Command], keys: &[Key], until: Duration) -> Duration {
    let own = commands
        .iter()
        .filter(|command| keys.contains(&command.key) && command.ended <= until);
    own.map(|command| command.ended - command.begun).sum()
}

#[test]
fn one_quantum_in_eight_goes_to_the_class_beneath_and_one_in_eight_of_those_beneath_that() {
    let clients = Class::ALL.map(|class| Client::bulk(Duration::ZERO, 100_000).class(class));
    let machine = Machine {
        page_time: MILLI,
        chunk: 1,
        ..Machine::default()
    };
    let mut simulator = Simulator::new(machine, clients);
    let until = MILLI * 50 * 64 * 4;
    simulator.run_until(until);
    let of = |key| time(&simulator.commands, &[key], until).as_secs_f64() / until.as_secs_f64();
    let (high, normal, low) = (of(0), of(1), of(2));
    assert!((0.860..0.885).contains(&high), "{high}");
    assert!((0.100..0.117).contains(&normal), "{normal}");
    assert!((0.0145..0.0175).contains(&low), "{low}");
}

#[test]
fn small_calls_do_not_widen_or_narrow_a_share() {
    // Seven grants of one page to High must not cost Low's quantum of fifty, nor one page of Low be all of its share.
    for (high, low) in [(1, 64), (64, 1)] {
        let clients = [
            Client::closed_loop(Duration::ZERO, 50_000, high).class(Class::High),
            Client::closed_loop(Duration::ZERO, 50_000, low).class(Class::Low),
        ];
        let mut simulator = Simulator::new(Machine::default(), clients);
        let until = MILLI * 8000;
        simulator.run_until(until);
        let own = simulator
            .commands
            .iter()
            .filter(|command| command.key == 1)
            .count();
        // An eighth is 1000 ms; calls of one page spend nearly half of their time on the way.
        assert!(
            (560..1100).contains(&own),
            "{own} pages for calls of {low} pages beneath calls of {high}"
        );
    }
}

#[test]
fn a_lone_class_gets_all_of_it() {
    let mut simulator = Simulator::new(
        Machine::default(),
        [Client::bulk(Duration::ZERO, 1000).class(Class::Low)],
    );
    simulator.run();
    assert!(simulator.end() < MILLI * 1010);
}

fn crowd() -> impl Strategy<Value = Vec<Client>> {
    let client = (
        0..3_usize,
        0..2000_u32,
        1..20_usize,
        1..60_u64,
        1..4_usize,
        0..8_u32,
    );
    let client = client.prop_map(|(class, at, calls, pages, window, think)| {
        let client = Client::closed_loop(MILLI * at, calls, pages)
            .window(window)
            .think(MILLI * think);
        client.class(Class::ALL[class])
    });
    prop::collection::vec(client, 1..16)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The first to arrive of its class waits for nobody of its own class, whatever the others do.
    #[test]
    fn the_first_of_a_class_never_waits_longer_than_the_bound(
        crowd in crowd(),
        class in 0..3_usize,
        share in 2..9_u32,
    ) {
        let class = Class::ALL[class];
        let config = Config { low_share: share, quantum: MILLI * 20, ..Config::default() };
        let ours = Client::bulk(Duration::ZERO, 800).class(class);
        let machine = Machine { config: config.clone(), ..Machine::default() };
        let mut simulator = Simulator::new(machine, std::iter::once(ours).chain(crowd));
        simulator.run();
        simulator.assert_all_is_installed();
        let above = Class::ALL.iter().filter(|other| **other < class).count();
        let round = share.pow(u32::try_from(above).unwrap());
        // What was granted before is one quantum more.
        let quanta = if class == Class::Low { round } else { 2 * round };
        // A phase may exceed its budget by half a page, and by the messages of a turn.
        let bound = (config.quantum + MILLI + MICRO * 400) * quanta;
        let waited = longest_wait(&simulator, 0, Duration::ZERO);
        prop_assert!(waited <= bound, "{waited:?}, bound {bound:?}");
    }

    /// However lower classes press, a higher one gets its part and waits for two quanta at most.
    #[test]
    fn the_first_of_the_highest_class_waits_for_two_quanta_at_most(crowd in crowd()) {
        let ours = Client::bulk(MILLI * 1000, 800).class(Class::High);
        let crowd = crowd.into_iter().map(|client| Client { class: client.class.max(Class::Normal), ..client });
        let mut simulator = Simulator::new(Machine::default(), std::iter::once(ours).chain(crowd));
        simulator.run();
        simulator.assert_all_is_installed();
        let waited = longest_wait(&simulator, 0, MILLI * 1000);
        prop_assert!(waited <= MILLI * 104, "{waited:?}");
    }
}
