//! The audit log of a daemon that is killed at random moments: it verifies, and every state of every launch is there once.
//!
//! `STAGEPAGES_ROUNDS` sets how often it is killed, 200 being the full measure.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use stagepages_proto::v1::{LaunchState, Platform};
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, PAGE, answered, page, region, renew_daemon, spec,
};

use super::audit_log::{files, of, place, records, sound, until};

fn rounds() -> u64 {
    std::env::var("STAGEPAGES_ROUNDS").map_or(8, |rounds| {
        rounds.parse().expect("STAGEPAGES_ROUNDS is a number")
    })
}

/// Creates, stages, finishes and aborts launches until the daemon is gone. Returns those that it answered for, by uid, with their last known state.
async fn load(bench: &Bench, round: u64) -> BTreeMap<String, (String, LaunchState)> {
    let mut known = BTreeMap::new();
    for nth in 0.. {
        let spec = spec(bench.platform, [region(page(0), PAGE)]);
        let id = format!("vm-{round}-{nth}");
        let Ok(launch) = bench.api.create(&id, spec).await else {
            break;
        };
        let mut knows = |state| known.insert(launch.uid.clone(), (id.clone(), state));
        knows(LaunchState::Created);
        let extent = Extent::normal(page(0), Contents::new(nth).pages(1));
        if bench.api.stage(&launch.name, extent).await.is_err() {
            break;
        }
        knows(LaunchState::Staging);
        if bench.api.finish(&launch.name, vec![]).await.is_err() {
            break;
        }
        knows(LaunchState::Finished);
        if nth % 2 == 0 {
            if bench.api.abort(&launch.name).await.is_err() {
                break;
            }
            knows(LaunchState::Aborted);
        }
    }
    known
}

/// How often each state of a launch is told.
fn told(records: &[Value], uid: &str) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for record in of(records, uid) {
        let event = record["event"].as_str().unwrap();
        if event != "launch.adopted" {
            *told.entry(event.to_owned()).or_default() += 1;
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_at_any_moment_leaves_a_log_in_which_every_state_is_told_once() {
    let options = DaemonOptions::new();
    let mut random = Contents::new(8);
    let mut bench = Bench::start(&options, Platform::Sim).await.unwrap();
    let mut known = BTreeMap::new();
    for round in 0..rounds() {
        let wait = u64::from(random.pages(1)[0]);
        let loaded = {
            let load = load(&bench, round);
            let kill = async {
                // The moment is drawn; nothing is concluded from it.
                tokio::time::sleep(Duration::from_millis(wait)).await;
                bench.daemon.kill_daemon();
            };
            tokio::join!(load, kill).0
        };
        known.extend(loaded);
        bench.reborn().await;
        sound(&place(&bench));
    }
    renew_daemon(&mut bench).await;
    assert!(!known.is_empty());
    for (uid, (id, least)) in &known {
        let launch = answered(&bench, &format!("launches/{id}")).await;
        assert_eq!(&launch.uid, uid);
        assert!(launch.state() as i32 >= *least as i32, "{launch:?}");
        let mut expected = vec!["launch.created"];
        if launch.installed_pages > 0 {
            expected.push("launch.staging");
        }
        // An abort may have come to a launch before or after its finish; with a state that was answered, it came after.
        if launch.state() == LaunchState::Finished || *least >= LaunchState::Finished {
            expected.push("launch.finished");
        }
        if launch.state() == LaunchState::Aborted {
            expected.push("launch.aborted");
        }
        let all = until(&place(&bench), "every state of a launch", |all| {
            let told = told(all, uid);
            expected.iter().all(|event| told.contains_key(*event))
        })
        .await;
        let told = told(&all, uid);
        assert!(told.values().all(|times| *times == 1), "{id}: {told:?}");
    }
    sound(&place(&bench));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_rotated_under_load_stays_within_its_bound_and_verifies() {
    let options = DaemonOptions::new()
        .config("audit_max_bytes = 65536")
        .config("audit_files = 3");
    let bench = Bench::start(&options, Platform::Sim).await.unwrap();
    let loads = (0..4_u64).map(|client| {
        let bench = &bench;
        async move {
            for nth in 0..25 {
                let launch = bench.launch(&format!("vm-{client}-{nth}")).await;
                let extent = Extent::normal(page(0), Contents::new(nth).pages(1));
                bench.api.stage(&launch.name, extent).await.unwrap();
                bench.api.abort(&launch.name).await.unwrap();
            }
        }
    });
    let [a, b, c, d] = <[_; 4]>::try_from(loads.collect::<Vec<_>>()).ok().unwrap();
    tokio::join!(a, b, c, d);
    let document = sound(&place(&bench));
    let head = document["head"].as_str().unwrap();
    let last: u64 = head.split(':').next().unwrap().parse().unwrap();
    assert!(last > 300, "{document}");
    let files = files(&place(&bench));
    assert!((2..=3).contains(&files.len()), "{files:?}");
    for file in files {
        assert!(std::fs::metadata(file).unwrap().len() <= 65_536);
    }
    assert!(records(&place(&bench)).len() > 50);
    bench.end().await;
}
