//! Launches that cannot be told of yet: nobody is told that they are not there, and they are counted in lists.
use std::fs;

use nix::sys::signal::Signal;
use stagepages_proto::v1::{LaunchState, ListLaunchesRequest, ListLaunchesResponse};
use stagepages_tests::{Bench, Refusal, eventually, halt, page, region, spec};

use crate::rig::{PAGES, answered, on_every_platform, send};

const NAME: &str = "launches/vm";

async fn list(bench: &Bench) -> ListLaunchesResponse {
    let request = ListLaunchesRequest::default();
    let answer = bench.api.launches.clone().list_launches(request).await;
    answer.unwrap().into_inner()
}

/// It cannot be told of: neither is it said to be gone, nor is it left out without a word.
async fn is_unsettled(bench: &Bench) {
    for refused in [
        bench.api.get(NAME).await.unwrap_err(),
        bench.api.abort(NAME).await.unwrap_err(),
        bench.api.delete(NAME).await.unwrap_err(),
    ] {
        let refusal = Refusal::of(&refused);
        assert_eq!(refusal.reason, "HOST_UNREACHABLE", "{refusal:?}");
    }
    let listed = list(bench).await;
    assert_eq!(
        (listed.launches.len(), listed.unsettled_launches),
        (0, 1),
        "{listed:?}"
    );
}

/// It is there; then it is ended, and nothing is left of it.
async fn settles(bench: &Bench) {
    let launch = answered(bench, NAME).await;
    let listed = list(bench).await;
    assert_eq!((listed.launches.len(), listed.unsettled_launches), (1, 0));
    let aborted = bench.api.abort(&launch.name).await.unwrap();
    assert_eq!(aborted.state(), LaunchState::Aborted);
    eventually("its host to go", async || {
        bench.api.delete(&launch.name).await.ok()
    })
    .await;
    let refusal = Refusal::of(&bench.api.get(NAME).await.unwrap_err());
    assert_eq!(refusal.reason, "LAUNCH_NOT_FOUND", "{refusal:?}");
    assert_eq!(list(bench).await, ListLaunchesResponse::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_is_being_created_when_its_caller_leaves_is_not_said_to_be_gone() {
    on_every_platform(async |bench| {
        // No host is started while the supervisor stands still.
        halt(bench.daemon.pid());
        let wanted = spec(bench.platform, [region(page(0), PAGES << 12)]);
        let api = bench.api.clone();
        let call = tokio::spawn(async move { api.create("vm", wanted).await });
        eventually("the creation", async || {
            (list(&bench).await.unsettled_launches == 1).then_some(())
        })
        .await;
        call.abort();
        drop(call.await);
        is_unsettled(&bench).await;
        send(bench.daemon.pid(), Signal::SIGCONT);
        settles(&bench).await;
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_whose_host_has_not_answered_the_next_daemon_is_counted() {
    on_every_platform(async |mut bench| {
        let launch = bench.launch("vm").await;
        let host = bench.daemon.host(&launch);
        halt(host);
        bench.daemon.kill_daemon();
        bench.reborn().await;
        is_unsettled(&bench).await;
        send(host, Signal::SIGCONT);
        settles(&bench).await;
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_is_certain_while_a_host_without_a_record_has_not_answered() {
    on_every_platform(async |mut bench| {
        let launch = bench.launch("vm").await;
        let host = bench.daemon.host(&launch);
        // As if the daemon had been killed before it put the launch on record.
        halt(bench.daemon.pid());
        bench.daemon.kill_daemon();
        let records = bench.daemon.dir().join("state/launches");
        fs::remove_file(records.join(&launch.uid)).unwrap();
        halt(host);
        send(bench.daemon.pid(), Signal::SIGCONT);
        bench.reborn().await;
        is_unsettled(&bench).await;
        send(host, Signal::SIGCONT);
        settles(&bench).await;
        bench
    })
    .await;
}
