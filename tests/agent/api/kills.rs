//! An agent that is killed at any point: one launch all the same, every page counted once.
//!
//! Every other round is on `kvm`, with a guest that is to run, where this machine has it. `STAGEPAGES_ROUNDS` sets the rounds, 100 being the full measure, and
//! `STAGEPAGES_SEED` what the points are drawn from.

use std::time::Duration;

use serde_json::json;
use stagepages_proto::v1::Platform;
use stagepages_tests::{Api, Contents, eventually};

use super::{
    guests::{large, large_that_runs},
    rig::{Rig, SPACE},
    stand_in::LAUNCHES,
};

/// Rounds unless STAGEPAGES_ROUNDS says how many.
const ROUNDS: u64 = 5;
/// What a launch takes, more or less, and its end.
const LIFE: Duration = Duration::from_millis(700);
const END: Duration = Duration::from_millis(50);

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|error| panic!("{variable} is a number: {error}")),
    )
}

/// Goes on at some moment until then; nothing is awaited by it.
async fn some_moment(random: &mut Contents, until: Duration) {
    let most = u64::try_from(until.as_micros()).unwrap();
    tokio::time::sleep(Duration::from_micros(random.below(most))).await;
}

/// What there is of a kind of launch: its platform, its Pod and its image.
struct Kind {
    platform: &'static str,
    pod: &'static str,
    reference: String,
}

/// Those that this machine has.
async fn kinds(rig: &Rig) -> Vec<Kind> {
    let kind = |platform, pod, image: Vec<u8>| {
        rig.pod(pod, &format!("{platform}-0"));
        Kind {
            platform,
            pod,
            reference: rig.push(&image),
        }
    };
    let mut kinds = vec![kind("sim", "vm", large(600))];
    let info = Api::unix(rig.daemon.socket()).await.node_info().await;
    let has_kvm =
        |it: &stagepages_proto::v1::PlatformInfo| it.platform() == Platform::Kvm && it.available;
    if info.platforms.iter().any(has_kvm) {
        kinds.push(kind("kvm", "runs", large_that_runs(600)));
    }
    kinds
}

/// One round.
async fn round(rig: &mut Rig, name: &str, kind: &Kind, random: &mut Contents) {
    let runs = kind.platform == "kvm";
    rig.begin();
    rig.launch(
        name,
        &json!({
            "podName": kind.pod,
            "platform": kind.platform,
            "image": { "ref": kind.reference },
            "start": runs,
        }),
    );
    // Two kills a round, each somewhere within what a launch takes.
    for _ in 0..2 {
        some_moment(random, LIFE).await;
        rig.kill();
        rig.begin();
    }
    let status = match runs {
        true => rig.until_reason(name, "Running", "RUNNING").await,
        false => rig.until_reason(name, "Finished", "FINISHED").await,
    };
    let launch = rig.only_launch().await;
    assert_eq!(status["launchUid"], launch.uid);
    assert_eq!(status["totalPages"], launch.installed_pages);
    assert_eq!(launch.start_time.is_some(), runs, "{launch:?}");
    // Killed once more while it goes.
    rig.api.delete(LAUNCHES, SPACE, name);
    some_moment(random, END).await;
    rig.kill();
    rig.begin();
    eventually("the object to go", async || {
        rig.api.get(LAUNCHES, SPACE, name).is_none().then_some(())
    })
    .await;
    assert!(rig.launches().await.is_empty());
    rig.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_at_random_points_doubles_no_launch() {
    let mut rig = Rig::new().await;
    if rig.registry.is_none() {
        return;
    }
    // Other points each time, unless the same are asked for.
    let seed = number("STAGEPAGES_SEED").unwrap_or_else(|| std::process::id().into());
    let kinds = kinds(&rig).await;
    let rounds = 0..number("STAGEPAGES_ROUNDS").unwrap_or(ROUNDS);
    for (number, kind) in rounds.zip(kinds.iter().cycle()) {
        // Shown when it fails.
        println!("seed {seed}, round {number}, {}", kind.platform);
        let mut random = Contents::new(seed.wrapping_mul(0x0010_0001) ^ number);
        round(&mut rig, &format!("round-{number}"), kind, &mut random).await;
    }
}
