//! The firmware never waits for a message while somebody has data for it.

use std::time::Duration;

use proptest::prelude::*;
use stagepages_schedule::Class;

use crate::{
    MICRO, MILLI,
    simulator::{Client, Machine, Simulator},
};

fn total(simulator: &Simulator, page_time: Duration) -> (Duration, Duration) {
    let pages: u64 = simulator.commands.iter().map(|command| command.pages).sum();
    (simulator.end(), page_time * u32::try_from(pages).unwrap())
}

#[test]
fn one_launch_is_staged_in_its_pages_times_the_time_of_a_page() {
    for client in [
        Client::bulk(Duration::ZERO, 2000),
        Client::closed_loop(Duration::ZERO, 40, 64),
        Client::closed_loop(Duration::ZERO, 500, 4).window(4),
        Client::closed_loop(Duration::ZERO, 2000, 1).window(8),
    ] {
        let mut simulator = Simulator::new(Machine::default(), [client.clone()]);
        simulator.run();
        simulator.assert_all_is_installed();
        let (took, ideal) = total(&simulator, MILLI);
        // With more data than a message takes, only the first few grants, which feel the way, are waited for.
        let most = if client.calls.len() == 40 {
            ideal * 102 / 100
        } else {
            ideal + MILLI * 3
        };
        assert!(took <= most, "{took:?} for {ideal:?} of work by {client:?}");
    }
}

#[test]
fn a_fast_platform_is_not_slowed_down() {
    let machine = Machine {
        page_time: Duration::from_nanos(300),
        chunk: 512,
        ..Machine::default()
    };
    let mut simulator = Simulator::new(
        machine,
        [
            Client::bulk(Duration::ZERO, 1 << 22),
            Client::bulk(MILLI, 1 << 22),
        ],
    );
    simulator.run();
    simulator.assert_all_is_installed();
    let (took, ideal) = total(&simulator, Duration::from_nanos(300));
    assert!(took * 100 <= ideal * 102, "{took:?} for {ideal:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn many_launches_are_staged_in_the_time_of_their_pages(
        clients in prop::collection::vec((0..3_usize, 1..8_usize, 50..200_u64, 1..3_usize, 0..50_u32), 4..20),
    ) {
        let clients = clients.into_iter().map(|(class, calls, pages, window, at)| {
            Client::closed_loop(MILLI * at, calls, pages).window(window).class(Class::ALL[class])
        });
        let first = Client::bulk(Duration::ZERO, 60);
        let mut simulator = Simulator::new(Machine::default(), clients.chain([first]));
        simulator.run();
        simulator.assert_all_is_installed();
        let (took, ideal) = total(&simulator, MILLI);
        prop_assert!(took * 100 <= ideal * 102 + MICRO * 100_000, "{took:?} for {ideal:?}");
    }
}
