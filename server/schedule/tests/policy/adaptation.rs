//! A first guess that is far off is found out in a few grants, and binds nobody meanwhile.

use std::time::Duration;

use crate::{
    MICRO, MILLI,
    simulator::{Client, Machine, Simulator},
};
use stagepages_schedule::{Config, MAX_GRANT_PAGES};

fn machine(guess: Duration, page_time: Duration, chunk: u64) -> Machine {
    Machine {
        config: Config {
            page_time: guess,
            ..Config::default()
        },
        page_time,
        chunk,
        ..Machine::default()
    }
}

#[test]
fn a_guess_that_is_too_fast_freezes_nobody() {
    // Two launches; a second one in a higher class shows how long the machine was bound.
    let clients = [
        Client::bulk(Duration::ZERO, 3000),
        Client::bulk(MILLI * 2, 100).class(stagepages_schedule::Class::High),
    ];
    let mut simulator = Simulator::new(machine(MICRO, MILLI, 1), clients);
    simulator.run();
    simulator.assert_all_is_installed();
    let first = simulator
        .commands
        .iter()
        .find(|command| command.key == 1)
        .unwrap();
    assert!(first.begun < MILLI * 60, "{first:?}");
}

#[test]
fn a_guess_that_is_too_slow_is_outgrown_in_a_few_grants() {
    for guess in [MILLI, MILLI * 1000] {
        let true_time = Duration::from_nanos(300);
        let mut simulator = Simulator::new(
            machine(guess, true_time, 512),
            [Client::bulk(Duration::ZERO, 1 << 22)],
        );
        simulator.run();
        simulator.assert_all_is_installed();
        let sizes: Vec<_> = simulator
            .grants
            .windows(2)
            .map(|pair| pair[1].2 - pair[0].2)
            .collect();
        let full = sizes.iter().position(|pages| *pages > 60_000).unwrap();
        assert!(full <= 16, "{sizes:?}");
        assert!(
            simulator.end() * 100 <= true_time * (1 << 22) * 102,
            "{:?}",
            simulator.end()
        );
    }
}

#[test]
fn the_time_of_a_page_is_found_whatever_the_guess() {
    for guess in [MICRO, MILLI, MILLI * 1000] {
        for (page_time, chunk) in [
            (Duration::from_nanos(300), 512),
            (MICRO * 40, 16),
            (MILLI, 1),
            (MILLI * 20, 1),
        ] {
            let mut simulator = Simulator::new(
                machine(guess, page_time, chunk),
                [Client::bulk(Duration::ZERO, 1 << 20)],
            );
            simulator.run_until(MILLI * 600);
            let found = simulator.scheduler.page_time();
            assert!(
                found.abs_diff(page_time) * 10 <= page_time,
                "{found:?} for {page_time:?}, guessed {guess:?}"
            );
        }
    }
}

#[test]
fn a_grant_is_a_quantum_and_never_more_than_its_bound() {
    let mut simulator = Simulator::new(Machine::default(), [Client::bulk(Duration::ZERO, 1000)]);
    simulator.run();
    let mut last = 0;
    for (at, _, up_to) in &simulator.grants {
        assert!(up_to - last <= 51, "{at:?}");
        last = *up_to;
    }
    let free = Machine {
        page_time: Duration::from_nanos(1),
        chunk: 1 << 16,
        ..Machine::default()
    };
    let mut simulator = Simulator::new(free, [Client::bulk(Duration::ZERO, 1 << 25)]);
    simulator.run();
    let most = simulator
        .grants
        .windows(2)
        .map(|pair| pair[1].2 - pair[0].2)
        .max()
        .unwrap();
    assert!(
        most > MAX_GRANT_PAGES / 2 && most <= MAX_GRANT_PAGES,
        "{most}"
    );
}
