//! Registries that misbehave: bounded in memory and in time, told, asked again, and gone on with where they broke off.

use std::sync::atomic::Ordering;

use stagepages_tests::eventually;

use super::{
    bad_registry::{Bad, Manner, manifest, truly},
    rig::{Rig, large, said, spec},
};

/// A registry of this manner, and a launch of what it has for a pod of its own.
async fn launched(rig: &mut Rig, nth: usize, manner: Manner, manifest: &[u8]) -> (Bad, String) {
    let server = Bad::start(manner).await;
    rig.trust(&server.host);
    let name = rig.launch_apart(nth, &server.reference(manifest));
    (server, name)
}

/// What is left of pulls in a folder of the cache.
fn kept(rig: &Rig, folder: &str) -> u64 {
    let files = rig.cache().join(folder).read_dir();
    // What is renamed or removed meanwhile is not there.
    let lengths = files.into_iter().flatten().map(|it| it.unwrap().metadata());
    lengths.map(|it| it.map_or(0, |it| it.len())).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn registries_that_misbehave_are_told_and_asked_again() {
    let mut rig = Rig::new().await;
    rig.set("LAUNCH_LEASE", "4");
    // What a registry of this manner has, and what it says of it.
    type Case = fn(&[u8], Vec<u8>) -> (Manner, Vec<u8>);
    let cases: [(Case, &str, &str); 8] = [
        (
            |_, named| (Manner::Hang, named),
            "REGISTRY_UNREACHABLE",
            "PENDING",
        ),
        (
            |_, named| (Manner::Reset, named),
            "REGISTRY_UNREACHABLE",
            "PENDING",
        ),
        (
            |_, named| (Manner::Status(500), named),
            "REGISTRY_UNREACHABLE",
            "PENDING",
        ),
        (
            |_, named| (Manner::Status(404), named),
            "IMAGE_NOT_IN_REGISTRY",
            "PENDING",
        ),
        (
            |_, named| (Manner::Wrong(b"{}".to_vec(), Vec::new()), named),
            "IMAGE_DIGEST_MISMATCH",
            "PENDING",
        ),
        (
            |blob, named| (Manner::Wrong(named.clone(), vec![b'?'; blob.len()]), named),
            "IMAGE_DIGEST_MISMATCH",
            "PENDING",
        ),
        (
            |blob, named| (Manner::Wrong(named.clone(), [blob, blob].concat()), named),
            "IMAGE_DIGEST_MISMATCH",
            "PENDING",
        ),
        (
            |blob, _| {
                let huge = manifest(blob, 1 << 40);
                (Manner::Endless(huge.clone()), huge)
            },
            "IMAGE_TOO_LARGE",
            "FAILED",
        ),
    ];
    let mut servers = Vec::new();
    for (nth, (case, reason, state)) in cases.into_iter().enumerate() {
        // Each its own: whoever pulls what somebody else pulls already waits for that.
        let blob = format!("the kernel of {nth}").into_bytes();
        let (manner, manifest) = case(&blob, truly(&blob));
        let (server, name) = launched(&mut rig, nth, manner, &manifest).await;
        servers.push((server, name, reason, state));
    }
    rig.begin();
    for (server, name, reason, state) in &servers {
        let status = rig.until_reason(name, "ImageReady", reason).await;
        let (_, message) = said(&status, "ImageReady");
        assert!(
            message.contains(&server.host)
                || *reason == "IMAGE_TOO_LARGE"
                || message.contains("sha256"),
            "{message}"
        );
        rig.until_state(name, state).await;
        if *state == "PENDING" {
            // Each is asked again by itself.
            eventually("another attempt", async || {
                (server.attempts() > 1).then_some(())
            })
            .await;
        }
    }
    assert_eq!(
        kept(&rig, "blobs"),
        0,
        "nothing that a registry lied about is kept"
    );
    assert!(rig.launches().await.is_empty());
    // Nothing is kept that is not there yet.
    assert!(!rig.daemon.log().contains("RenewLease"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_end_takes_no_more_than_it_may() {
    const LARGE: u64 = 192 << 20;
    let mut rig = Rig::new().await;
    let blob = b"a kernel".as_slice();
    let (named, endless) = (truly(blob), manifest(blob, LARGE));
    let cases = [
        (Manner::EndlessManifest, &named, "IMAGE_DIGEST_MISMATCH"),
        (
            Manner::Endless(endless.clone()),
            &endless,
            "IMAGE_DIGEST_MISMATCH",
        ),
        (Manner::Status(500), &named, "REGISTRY_UNREACHABLE"),
        (Manner::Status(200), &named, "IMAGE_DIGEST_MISMATCH"),
    ];
    let mut servers = Vec::new();
    for (nth, (manner, manifest, reason)) in cases.into_iter().enumerate() {
        let (server, name) = launched(&mut rig, nth, manner, manifest).await;
        servers.push((server, name, reason));
    }
    rig.begin();
    for (server, name, reason) in &servers {
        let status = rig.until_reason(name, "ImageReady", reason).await;
        assert_eq!(status["state"], "PENDING", "{status:#}");
        assert!(server.seen.sent.load(Ordering::SeqCst) > 0);
    }
    let peak = rig.agent.as_ref().unwrap().peak();
    assert!(
        peak < LARGE / 2,
        "{peak} bytes at most were in memory, of blobs of {LARGE}"
    );
    assert_eq!(kept(&rig, "blobs"), 0);
    assert!(rig.launches().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_stops_coming_is_given_up_and_what_came_is_kept() {
    let mut rig = Rig::new().await;
    let blob = large(100);
    let fifth = blob.len() / 5 + 1;
    let manifest = truly(&blob);
    let hangs = Manner::HangMid(manifest.clone(), blob.clone(), fifth);
    let (server, name) = launched(&mut rig, 0, hangs, &manifest).await;
    let other = large(101);
    let of_other = truly(&other);
    let drips = Manner::Drip(of_other.clone(), other);
    let (_drips, dripped) = launched(&mut rig, 1, drips, &of_other).await;
    rig.begin();
    for name in [&name, &dripped] {
        let status = rig
            .until_reason(name, "ImageReady", "REGISTRY_UNREACHABLE")
            .await;
        let (_, message) = said(&status, "ImageReady");
        assert!(message.contains("bytes in 2 s"), "{message}");
    }
    rig.until_told(&name, &["RegistryUnreachable"]).await;
    // All of it came in the end, though each answer hung: each question was for the rest alone.
    rig.until_reason(&name, "Finished", "FINISHED").await;
    let length = u64::try_from(blob.len()).unwrap();
    assert_eq!(server.seen.sent.load(Ordering::SeqCst), length);
    let requests = server.seen.requests.lock().unwrap().clone();
    for times in 1..5 {
        let range = format!("range: bytes={}-", times * fifth);
        let asks = |it: &String| it.contains(&range);
        assert!(requests.iter().any(asks), "{range}: {requests:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_breaks_off_is_gone_on_with_and_no_byte_comes_twice() {
    let mut rig = Rig::new().await;
    let blob = large(1000);
    let manifest = truly(&blob);
    let piece = 300 << 10;
    let breaks = Manner::ResetMid(manifest.clone(), blob.clone(), piece);
    let (server, name) = launched(&mut rig, 0, breaks, &manifest).await;
    rig.begin();
    rig.until_reason(&name, "Finished", "FINISHED").await;
    let length = u64::try_from(blob.len()).unwrap();
    assert_eq!(server.seen.sent.load(Ordering::SeqCst), length);
    assert_eq!((kept(&rig, "blobs"), kept(&rig, "partial")), (length, 0));
    assert!(!rig.agent.as_ref().unwrap().log().contains("cannot go on"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_while_it_pulls_goes_on_from_what_it_had() {
    let mut rig = Rig::new().await;
    let blob = large(100);
    let half = blob.len() / 2;
    let manifest = truly(&blob);
    let hangs = Manner::HangMid(manifest.clone(), blob.clone(), half);
    let (server, name) = launched(&mut rig, 0, hangs, &manifest).await;
    rig.begin();
    eventually("half of it", async || {
        (kept(&rig, "partial") == u64::try_from(half).unwrap()).then_some(())
    })
    .await;
    rig.kill();
    rig.begin();
    rig.until_reason(&name, "Finished", "FINISHED").await;
    let length = u64::try_from(blob.len()).unwrap();
    assert_eq!(server.seen.sent.load(Ordering::SeqCst), length);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_knows_of_no_parts_sends_all_of_it_again() {
    let mut rig = Rig::new().await;
    let (blob, other) = (large(100), large(101));
    let (half, of_blob, of_other) = (blob.len() / 2, truly(&blob), truly(&other));
    let all = Manner::NoParts(of_blob.clone(), blob, half);
    let (_all, first) = launched(&mut rig, 0, all, &of_blob).await;
    // One that sends another part than it was asked for is asked for all of it, time and again.
    let wrong = Manner::OtherPart(of_other.clone(), other, half);
    let (_wrong, second) = launched(&mut rig, 1, wrong, &of_other).await;
    rig.begin();
    rig.until_reason(&first, "Finished", "FINISHED").await;
    let status = rig
        .until_reason(&second, "ImageReady", "IMAGE_DIGEST_MISMATCH")
        .await;
    let (_, message) = said(&status, "ImageReady");
    assert!(message.contains("another part"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_registry_left_half_done_spoils_nothing() {
    let Some(mut rig) = Rig::running().await else {
        return;
    };
    rig.kill();
    let blob = large(100);
    let reference = rig.push(&blob);
    // It says that it has this blob, sends something else, more than there is of it, and then nothing.
    let lie = manifest(&blob, u64::try_from(2 * blob.len()).unwrap());
    let lies = vec![7; 2 * blob.len()];
    let manner = Manner::HangMid(lie.clone(), lies, blob.len() + 1);
    let (_liar, lied) = launched(&mut rig, 0, manner, &lie).await;
    rig.begin();
    eventually("the lie", async || {
        (kept(&rig, "partial") > u64::try_from(blob.len()).unwrap()).then_some(())
    })
    .await;
    rig.pod("vm", "sim-1");
    rig.launch("honest", &spec("sim", &reference));
    rig.until_reason("honest", "Finished", "FINISHED").await;
    assert_ne!(rig.status(&lied)["state"], "FINISHED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_sends_the_same_again_and_again_is_given_up() {
    let mut rig = Rig::new().await;
    // More of it than what counts as headway comes every time, and never more.
    let blob = large(200);
    let manifest = truly(&blob);
    let never = Manner::NeverWhole(manifest.clone(), blob, 600 << 10);
    let (server, name) = launched(&mut rig, 0, never, &manifest).await;
    rig.begin();
    rig.until_reason(&name, "ImageReady", "REGISTRY_UNREACHABLE")
        .await;
    let requests = server.seen.requests.lock().unwrap().clone();
    let of_blobs = requests.iter().filter(|it| it.contains("/blobs/"));
    assert!(of_blobs.count() >= 3, "{requests:?}");
}
