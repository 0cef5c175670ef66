//! Who is refused, and with which numbers.

use std::time::Duration;

use stagepages_schedule::{Class, Config, Refused, Scheduler};

use crate::{
    MILLI,
    simulator::{Client, Machine, Simulator},
};

/// Three launches of 400 pages each may wait.
fn full() -> Simulator {
    let machine = Machine {
        config: Config {
            max_waiting: 3,
            ..Config::default()
        },
        ..Machine::default()
    };
    let clients = [400, 300, 200].map(|pages| Client::bulk(Duration::ZERO, pages));
    let late = Client::bulk(MILLI * 100, 10);
    let mut simulator = Simulator::new(machine, clients.into_iter().chain([late]));
    simulator.run_until(MILLI * 100);
    simulator
}

#[test]
fn a_full_queue_says_when_a_place_is_free() {
    let mut simulator = full();
    let [
        (
            _,
            3,
            Refused::QueueFull {
                waiting: 3,
                retry_after,
            },
        ),
    ] = simulator.refusals[..]
    else {
        panic!("{:?}", simulator.refusals)
    };
    simulator.run();
    let free = simulator.finish(0) - MILLI * 100;
    assert!(
        retry_after.abs_diff(free) <= free / 10,
        "{retry_after:?} for {free:?}"
    );
    assert_eq!(simulator.place(3), None);
}

#[test]
fn who_comes_back_when_told_to_is_let_in() {
    let mut simulator = full();
    let (_, _, Refused::QueueFull { retry_after, .. }) = simulator.refusals[0] else {
        panic!()
    };
    let at = MILLI * 100 + retry_after + MILLI * 10;
    simulator.run_until(at);
    assert_eq!(simulator.scheduler.ask(3, 10, None, at), Ok(()));
}

#[test]
fn a_launch_that_has_arrived_is_never_refused_for_the_length_of_the_queue() {
    let mut scheduler = Scheduler::new(Config {
        max_waiting: 1,
        ..Config::default()
    })
    .unwrap();
    for key in 0..3 {
        scheduler.join(key, Class::Normal, None, 0, Duration::ZERO);
    }
    scheduler.ask(0, 5, None, Duration::ZERO).unwrap();
    scheduler.ask(0, 5, None, Duration::ZERO).unwrap();
    assert!(matches!(
        scheduler.ask(1, 5, None, Duration::ZERO),
        Err(Refused::QueueFull { waiting: 1, .. })
    ));
    // Without demand the first takes no place, but it keeps its own.
    scheduler.answered(0, 5, 5, MILLI);
    scheduler.answered(0, 5, 10, MILLI);
    scheduler.ask(1, 5, None, MILLI).unwrap();
    assert!(scheduler.ask(2, 5, None, MILLI).is_err());
    scheduler.ask(0, 5, None, MILLI).unwrap();
    assert_eq!(scheduler.waiting(), 2);
    assert_eq!(scheduler.place(0, MILLI).unwrap().position, 0);
}

#[test]
fn a_deadline_is_refused_exactly_when_the_queue_says_so() {
    let clients = [
        Client::bulk(Duration::ZERO, 1000),
        Client::bulk(Duration::ZERO, 500),
    ];
    let mut simulator = Simulator::new(Machine::default(), clients);
    simulator.run_until(MILLI * 200);
    let now = simulator.now;
    let scheduler = &mut simulator.scheduler;
    scheduler.join(7, Class::Normal, None, 0, now);
    let Err(Refused::DeadlineUnreachable { expected, left }) =
        scheduler.ask(7, 100, Some(MILLI * 1000), now)
    else {
        panic!("1.4 s of work ahead fit into one")
    };
    assert_eq!(left, MILLI * 1000);
    assert!(expected.abs_diff(MILLI * 1400) < MILLI * 14, "{expected:?}");
    assert_eq!(scheduler.place(7, now), None);
    // In a higher class it fits.
    scheduler.join(8, Class::High, None, 0, now);
    assert_eq!(scheduler.ask(8, 100, Some(MILLI * 200), now), Ok(()));
    assert_eq!(
        scheduler.ask(7, 100, Some(expected + MILLI * 101), now),
        Ok(())
    );
    let eta = scheduler.place(7, now).unwrap().eta;
    assert!(eta <= expected + MILLI * 101, "{eta:?}");
}

#[test]
fn a_guess_refuses_nobody_for_a_deadline() {
    let mut scheduler = Scheduler::new(Config {
        page_time: MILLI * 1000,
        ..Config::default()
    })
    .unwrap();
    scheduler.join((), Class::Normal, None, 0, Duration::ZERO);
    assert!(!scheduler.is_measured());
    assert_eq!(
        scheduler.ask((), 1 << 20, Some(MILLI), Duration::ZERO),
        Ok(())
    );
}

#[test]
fn a_refusal_reads_as_a_sentence_with_the_way_out() {
    let full = Refused::QueueFull {
        waiting: 3,
        retry_after: MILLI * 300,
    };
    assert_eq!(
        full.to_string(),
        "3 launches wait for the firmware, as many as may: a place is expected to be free in 300ms"
    );
    let late = Refused::DeadlineUnreachable {
        expected: MILLI * 1400,
        left: MILLI * 1000,
    };
    let text = "the pages are expected to be installed in 1.4s, and 1s is left: allow more time, or stage in a higher class";
    assert_eq!(late.to_string(), text);
}
