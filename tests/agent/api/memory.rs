//! Many images at once: those that memory has no room for wait for those that came before.

use stagepages_tests::eventually;

use super::rig::{Rig, large, said};

const REASON: &str = "WAITING_FOR_MEMORY";

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
    // So that what is measured is what is held, and not what the allocator keeps for each thread of what was.
    rig.set("MALLOC_ARENA_MAX", "1");
    rig.begin();
    let alone = rig.launch_apart(0, &reference);
    rig.until_reason(&alone, "Finished", "FINISHED").await;
    let of_one = rig.agent.as_ref().unwrap().peak();

    let others: Vec<_> = (1..LAUNCHES)
        .map(|nth| rig.launch_apart(nth, &reference))
        .collect();
    let message = eventually("one that waits for the others", async || {
        let said = others.iter().map(|it| said(&rig.status(it), "ImageReady"));
        let mut waiting = said.filter(|(reason, _)| reason == REASON);
        waiting.next().map(|(_, message)| message)
    })
    .await;
    assert!(message.contains("--image-memory"), "{message}");
    for name in &others {
        let status = rig.until_reason(name, "Finished", "FINISHED").await;
        assert_eq!(said(&status, "ImageReady").0, "PULLED", "{status:#}");
    }
    let peak = rig.agent.as_ref().unwrap().peak();
    assert!(
        peak < of_one + bytes,
        "{peak} bytes at most were in memory, and {of_one} with one image of {bytes} alone"
    );
    assert_eq!(rig.launches().await.len(), LAUNCHES);
}
