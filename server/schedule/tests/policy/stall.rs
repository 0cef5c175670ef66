//! A launch that has something to install and installs nothing loses the turn until it does.

use std::time::Duration;

use stagepages_schedule::{Class, Config, Grant, Scheduler};

use crate::{
    MILLI,
    simulator::{Client, Machine, Simulator},
};

#[test]
fn a_host_that_hangs_loses_the_turn_after_the_stall_and_returns_before_later_ones() {
    let clients = [
        Client::bulk(Duration::ZERO, 1000),
        Client::bulk(MILLI, 4000),
        Client::bulk(MILLI * 2, 100),
    ];
    let mut simulator = Simulator::new(Machine::default(), clients);
    simulator.hang(0, MILLI * 300, MILLI * 4000);
    simulator.run_until(MILLI * 3000);
    let second = simulator
        .commands
        .iter()
        .find(|command| command.key == 1)
        .unwrap();
    assert!(
        second.begun > MILLI * 2299 && second.begun < MILLI * 2303,
        "{second:?}"
    );
    assert!(
        simulator
            .scheduler
            .queue()
            .any(|waiting| waiting.key == 0 && waiting.stalled)
    );
    simulator.run();
    simulator.assert_all_is_installed();
    // Back at 4000 ms with 700 pages to go, at once within its old grant and with the turn at the next quantum.
    assert!(
        simulator.finish(0) < MILLI * (4000 + 700 + 110),
        "{:?}",
        simulator.finish(0)
    );
    assert!(simulator.finish(1) < simulator.finish(2));
}

#[test]
fn a_host_that_hangs_alone_goes_on_when_it_can() {
    let mut simulator = Simulator::new(Machine::default(), [Client::bulk(Duration::ZERO, 1000)]);
    simulator.hang(0, MILLI * 300, MILLI * 9000);
    simulator.run();
    simulator.assert_all_is_installed();
    assert!(simulator.end() < MILLI * 9720, "{:?}", simulator.end());
}

#[test]
fn a_page_that_takes_longer_than_the_stall_is_no_stall() {
    let machine = Machine {
        page_time: Duration::from_secs(1),
        ..Machine::default()
    };
    let mut simulator = Simulator::new(
        machine,
        [Client::bulk(Duration::ZERO, 20), Client::bulk(MILLI, 20)],
    );
    simulator.run();
    simulator.assert_all_is_installed();
    assert!(
        simulator.finish(0) < Duration::from_secs(21),
        "{:?}",
        simulator.finish(0)
    );
}

#[test]
fn a_launch_that_idled_with_a_grant_is_not_taken_for_a_stalled_one() {
    let mut scheduler = Scheduler::new(Config::default()).unwrap();
    scheduler.join('a', Class::Normal, None, 0, Duration::ZERO);
    for (asked, reached) in [(1, 1), (4, 5)] {
        scheduler.ask('a', asked, None, Duration::ZERO).unwrap();
        assert!(scheduler.decide(Duration::ZERO).is_some());
        scheduler.answered('a', asked, reached, Duration::ZERO);
        assert_eq!(scheduler.decide(Duration::ZERO), None);
    }
    // A call of ten pages falls short within patience, and leaves a grant of ten. Nobody else waits, so the turn stays.
    scheduler.ask('a', 10, None, MILLI).unwrap();
    assert_eq!(
        scheduler.decide(MILLI),
        Some(Grant {
            key: 'a',
            up_to_pages: 15
        })
    );
    scheduler.answered('a', 10, 5, MILLI * 3 / 2);
    assert_eq!(scheduler.decide(MILLI * 3 / 2), None);
    scheduler.ask('a', 30, None, MILLI * 9000).unwrap();
    // More than half of what may be granted so early is left of the old grant.
    assert_eq!(scheduler.decide(MILLI * 9000), None);
    assert!(scheduler.queue().all(|waiting| !waiting.stalled));
}
