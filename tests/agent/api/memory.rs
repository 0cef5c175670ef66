//! Many images at once: those that memory has no room for wait for those that came before.

use serde_json::json;

use super::rig::{Rig, large, spec};

#[tokio::test(flavor = "multi_thread")]
async fn images_that_memory_has_no_room_for_wait_for_each_other() {
    const LAUNCHES: usize = 6;
    const PAGES: usize = 12_000;
    let mut rig = Rig::new().await;
    let Some(reference) = rig.try_push(&large(PAGES)) else {
        return;
    };
    let bytes = u64::try_from(PAGES * 4096).unwrap();
    // For one of them, and not for two.
    rig.set("IMAGE_MEMORY", (bytes * 3 / 2).to_string());
    rig.begin();
    for nth in 0..LAUNCHES {
        let name = format!("vm-{nth}");
        rig.pod(&name, &format!("sim-{nth}"));
        let mut spec = spec("sim", &reference);
        spec["podName"] = json!(name);
        rig.launch(&name, &spec);
    }
    for nth in 0..LAUNCHES {
        let name = format!("vm-{nth}");
        rig.until_reason(&name, "Finished", "FINISHED").await;
    }
    let peak = rig.agent.as_ref().unwrap().peak();
    assert!(
        peak < 6 * bytes,
        "{peak} bytes at most were in memory, of {LAUNCHES} images of {bytes}"
    );
    assert_eq!(rig.launches().await.len(), LAUNCHES);
}
