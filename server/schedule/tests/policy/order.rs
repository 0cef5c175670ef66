//! Launches run one after the other, in order of arrival, and whoever has no data gives way.

use std::time::Duration;

use stagepages_schedule::Class;

use crate::{
    MILLI,
    simulator::{Client, Machine, Simulator, mean},
};

fn sixteen(client: &Client, is_unscheduled: bool) -> Simulator {
    let machine = Machine {
        is_unscheduled,
        ..Machine::default()
    };
    let mut simulator = Simulator::new(machine, vec![client.clone(); 16]);
    simulator.run();
    simulator.assert_all_is_installed();
    simulator
}

#[test]
fn sixteen_equal_launches_are_staged_in_little_more_than_half_the_mean_time() {
    for client in [
        Client::bulk(Duration::ZERO, 256),
        Client::closed_loop(Duration::ZERO, 4, 64),
        Client::closed_loop(Duration::ZERO, 16, 16).window(4),
    ] {
        let (ours, theirs) = (sixteen(&client, false), sixteen(&client, true));
        let (ours, theirs) = (mean(&ours.finishes()), mean(&theirs.finishes()));
        assert!(
            ours * 100 <= theirs * 56,
            "{ours:?} against {theirs:?} for {client:?}"
        );
    }
}

#[test]
fn launches_are_done_in_the_order_in_which_they_arrived() {
    let arrivals = [MILLI * 7, MILLI * 3, MILLI * 5, MILLI];
    let mut simulator = Simulator::new(
        Machine::default(),
        arrivals.map(|at| Client::closed_loop(at, 10, 20)),
    );
    simulator.run();
    simulator.assert_all_is_installed();
    let finishes = simulator.finishes();
    assert!(
        finishes[3] < finishes[1] && finishes[1] < finishes[2] && finishes[2] < finishes[0],
        "{finishes:?}"
    );
    // None began before the one ahead of it was done.
    let order: Vec<_> = simulator
        .commands
        .iter()
        .map(|command| command.key)
        .collect();
    assert!(
        order
            .chunk_by(|a, b| a == b)
            .map(|run| run[0])
            .eq([3, 1, 2, 0])
    );
}

#[test]
fn a_launch_without_data_gives_way_and_returns_before_later_ones() {
    // The first thinks for 40 ms between two calls, far beyond patience.
    let slow = Client::closed_loop(Duration::ZERO, 10, 10).think(MILLI * 40);
    let mut simulator = Simulator::new(
        Machine::default(),
        [slow, Client::bulk(MILLI, 400), Client::bulk(MILLI * 2, 400)],
    );
    simulator.run();
    simulator.assert_all_is_installed();
    // Between two of its calls lie its thought, and at most what was granted when it came back.
    let own: Vec<_> = simulator
        .commands
        .iter()
        .filter(|command| command.key == 0)
        .collect();
    let longest = own
        .windows(2)
        .map(|pair| pair[1].begun - pair[0].ended)
        .max()
        .unwrap();
    assert!(longest > MILLI * 40 && longest < MILLI * 95, "{longest:?}");
    // The firmware worked meanwhile, but for ten times patience and the messages of twenty-two turns.
    let end = simulator.end();
    assert!(end < MILLI * (900 + 20 + 12), "{end:?}");
}

#[test]
fn a_closed_loop_keeps_the_turn_between_its_calls() {
    for (calls, pages) in [(200, 1), (20, 64)] {
        let client = |at| Client::closed_loop(at, calls, pages);
        let mut simulator =
            Simulator::new(Machine::default(), [client(Duration::ZERO), client(MILLI)]);
        simulator.run();
        simulator.assert_all_is_installed();
        let runs = simulator.commands.chunk_by(|a, b| a.key == b.key).count();
        assert_eq!(runs, 2, "calls of {pages} pages");
    }
}

#[test]
fn a_higher_class_goes_first_at_the_next_quantum() {
    let low = Client::bulk(Duration::ZERO, 1000).class(Class::Low);
    let high = Client::bulk(MILLI * 333, 200).class(Class::High);
    let normal = Client::bulk(MILLI * 333, 200);
    let mut simulator = Simulator::new(Machine::default(), [low, normal, high]);
    simulator.run();
    simulator.assert_all_is_installed();
    let first = simulator
        .commands
        .iter()
        .find(|command| command.key == 2)
        .unwrap();
    assert!(first.begun < MILLI * (333 + 52), "{first:?}");
    let (low, normal, high) = (
        simulator.finish(0),
        simulator.finish(1),
        simulator.finish(2),
    );
    assert!(high < MILLI * (333 + 52 + 202) && high < normal && normal < low);
}

#[test]
fn a_launch_that_leaves_frees_the_turn_at_once() {
    let mut simulator = Simulator::new(
        Machine::default(),
        [Client::bulk(Duration::ZERO, 9000), Client::bulk(MILLI, 10)],
    );
    simulator.leave_at(0, MILLI * 1234);
    simulator.run();
    let first = simulator
        .commands
        .iter()
        .find(|command| command.key == 1)
        .unwrap();
    // The command in flight ends, and the grant travels.
    assert!(first.begun <= MILLI * 1236, "{first:?}");
    assert_eq!(simulator.pages(1), 10);
    assert_eq!(simulator.place(0), None);
    assert!(
        simulator
            .grants
            .iter()
            .all(|(at, key, _)| *key != 0 || *at < MILLI * 1234)
    );
}

#[test]
fn a_client_whose_calls_install_nothing_does_not_keep_the_turn() {
    use stagepages_schedule::{Config, Scheduler};
    let mut scheduler = Scheduler::new(Config::default()).unwrap();
    scheduler.join('a', Class::Normal, None, 0, Duration::ZERO);
    scheduler.join('b', Class::Normal, None, 0, Duration::ZERO);
    scheduler.ask('a', 1, None, Duration::ZERO).unwrap();
    scheduler.ask('b', 1, None, Duration::ZERO).unwrap();
    assert_eq!(scheduler.decide(Duration::ZERO).unwrap().key, 'a');
    // All pages of it exist already. It asks again within patience, time and again.
    scheduler.answered('a', 1, 0, MILLI);
    assert_eq!(scheduler.decide(MILLI).unwrap().key, 'b');
}
