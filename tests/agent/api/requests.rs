//! A call that the daemon refuses is found again in its log, by the id that the object, its Event and the agent's log tell.

use std::collections::BTreeSet;

use serde_json::json;
use stagepages_tests::{DaemonOptions, eventually};

use super::rig::{Rig, large, said, spec};

/// The ids with which the agent's log tells of this reason.
fn ids(rig: &Rig, reason: &str) -> BTreeSet<String> {
    let log = rig.agent.as_ref().unwrap().log();
    let lines = log.lines().filter(|line| line.contains(reason));
    let ids = lines.filter_map(|line| {
        let (_, rest) = line.split_once(" request=\"")?;
        Some(rest.split_once('"')?.0.to_owned())
    });
    ids.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_its_call_once_however_often_it_is_repeated() {
    let mut rig = Rig::with(DaemonOptions::new().config("max_launches = 1")).await;
    let Some(reference) = rig.try_push(&large(2)) else {
        return;
    };
    rig.begin();
    rig.pod("vm", "sim-0");
    rig.launch("first", &spec("sim", &reference));
    rig.until_reason("first", "Finished", "FINISHED").await;
    rig.pod("next", "sim-1");
    let mut next = spec("sim", &reference);
    next["podName"] = json!("next");
    rig.launch("second", &next);
    let status = rig.until_reason("second", "Staged", "NO_CAPACITY").await;
    let (_, first) = said(&status, "Staged");
    let id = { first.strip_suffix(')') }.and_then(|it| it.rsplit_once(" (request "));
    let (_, id) = id.unwrap_or_else(|| panic!("no id: {first}"));
    assert!(ids(&rig, "NO_CAPACITY").contains(id), "{id}");
    assert!(rig.daemon.log().contains(id), "{id}");
    let of_events = eventually("an Event of it", async || {
        let notes = rig.api.notes("second");
        notes.into_iter().find(|it| it.contains("(request "))
    });
    assert_eq!(of_events.await, first);
    eventually("it to be tried again", async || {
        (ids(&rig, "NO_CAPACITY").len() > 2).then_some(())
    })
    .await;
    // What is new of it is an id alone.
    let (_, now) = said(&rig.status("second"), "Staged");
    assert_eq!(now, first);
    rig.until_gone("first").await;
    rig.until_reason("second", "Finished", "FINISHED").await;
}
