//! Launches that wait for the machine's firmware: their place is told, and taken back when they have got there.

use serde_json::{Value, json};

use super::{
    occupied::Occupied,
    rig::{Rig, large, spec},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_place_in_the_queue_is_told_while_there_is_one() {
    const NAMES: [&str; 2] = ["first", "second"];
    let Some(rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(600));
    let occupied = Occupied::begin(&rig).await;
    for (position, name) in (1..).zip(NAMES) {
        rig.pod(name, &format!("sim-{position}"));
        let mut spec = spec("sim", &reference);
        spec["podName"] = json!(name);
        rig.launch(name, &spec);
        // In the order of their arrival, behind the one whose turn it is.
        let status = rig
            .until(name, &format!("at position {position}"), |it| {
                it["queue"]["position"] == position && it["queue"]["etaSeconds"].is_u64()
            })
            .await;
        let queue = &status["queue"];
        assert!(queue["pagesAhead"].as_u64().unwrap() > 0, "{status:#}");
        assert!(queue["etaSeconds"].as_u64().unwrap() > 0, "{status:#}");
        assert_eq!(status["installedPages"], 0, "{status:#}");
    }
    let [first, second] = NAMES.map(|name| rig.status(name)["queue"]["pagesAhead"].clone());
    assert!(second.as_u64() > first.as_u64(), "{first} and {second}");
    occupied.end().await;
    for name in NAMES {
        rig.until_reason(name, "Finished", "FINISHED").await;
        let status = rig
            .until(name, "in no queue", |it| it["queue"] == Value::Null)
            .await;
        assert_eq!(status["state"], "FINISHED", "{status:#}");
    }
}
