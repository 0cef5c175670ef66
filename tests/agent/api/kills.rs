//! An agent that is killed at any point: one launch all the same, every page counted once.

use std::time::Duration;

use serde_json::json;
use stagepages_tests::eventually;

use super::{
    rig::{Rig, SPACE, large},
    stand_in::LAUNCHES,
};

/// Rounds unless STAGEPAGES_ROUNDS says how many.
const ROUNDS: u64 = 5;

fn rounds() -> u64 {
    let asked = std::env::var("STAGEPAGES_ROUNDS");
    asked.ok().and_then(|it| it.parse().ok()).unwrap_or(ROUNDS)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_at_random_points_doubles_no_launch() {
    let mut rig = Rig::new().await;
    let Some(registry) = &rig.registry else {
        return;
    };
    let reference = registry.push("team/guest", &[("guest", &large(600))]);
    rig.pod("vm", "sim-0");
    let mut seed = u64::from(std::process::id());
    for round in 0..rounds() {
        let name = format!("round-{round}");
        rig.begin();
        rig.launch(
            &name,
            &json!({ "podName": "vm", "platform": "sim", "image": { "ref": reference } }),
        );
        // Two kills a round, each somewhere within what a launch takes.
        for _ in 0..2 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // The point of a kill; nothing is awaited by it.
            tokio::time::sleep(Duration::from_micros((seed >> 33) % 700_000)).await;
            rig.kill();
            rig.begin();
        }
        let status = rig.until_reason(&name, "Finished", "FINISHED").await;
        let launches = rig.launches().await;
        let [launch] = &launches[..] else {
            panic!("round {round}: {launches:?}");
        };
        assert_eq!(status["launchUid"], launch.uid);
        assert_eq!(status["totalPages"], launch.installed_pages);
        // Killed once more while it goes.
        rig.api.delete(LAUNCHES, SPACE, &name);
        tokio::time::sleep(Duration::from_micros((seed >> 40) % 50_000)).await;
        rig.kill();
        rig.begin();
        eventually("the object to go", async || {
            rig.api.get(LAUNCHES, SPACE, &name).is_none().then_some(())
        })
        .await;
        assert!(rig.launches().await.is_empty(), "round {round}");
        rig.kill();
    }
}
