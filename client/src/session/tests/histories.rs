//! Random histories: whatever is lost, delayed or killed, the last session's counts are those of the host.

use proptest::{collection::vec, prelude::*};

use super::world::{PLAN, World};
use crate::stage::StageEnd;

fn check(numbered: bool, by_reference: bool, script: Vec<u8>, in_flight: usize) {
    let mut world = World::new(numbered, by_reference, script);
    let machine = world.run(in_flight);
    let tally = machine.tally();
    let in_doubt: u64 = machine.in_doubt().iter().map(|pages| pages.count).sum();
    let attributed = world.host.attributed();
    match machine.into_end() {
        StageEnd::Complete => {
            assert!(world.is_whole());
            assert_eq!((tally.installed, in_doubt), (attributed, 0));
            assert_eq!(tally.installed + tally.identical, PLAN);
        }
        StageEnd::Conflict(_) => {
            assert!(world.spoiled);
            // What a killed predecessor has under way may be applied behind the conflict; it is counted for nobody here.
            assert!(tally.installed <= attributed);
            return;
        }
        end @ (StageEnd::Failed(_) | StageEnd::Unreadable(_)) => {
            panic!("{end:?} after {tally:?}")
        }
    }
    world.settle_down();
    assert_eq!(
        tally.installed,
        world.host.attributed(),
        "a late call was applied although its session is complete"
    );
    if numbered {
        assert!(world.host.order.is_sorted(), "{:?}", world.host.order);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_page_is_lost_or_counted_twice_on_an_unordered_launch(by_reference: bool, script in vec(any::<u8>(), 0..600), in_flight in 1..8_usize) {
        check(false, by_reference, script, in_flight);
    }

    #[test]
    fn no_page_is_lost_counted_twice_or_out_of_order_on_a_sequenced_launch(by_reference: bool, script in vec(any::<u8>(), 0..600), in_flight in 1..8_usize) {
        check(true, by_reference, script, in_flight);
    }
}
