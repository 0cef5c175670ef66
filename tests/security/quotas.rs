//! What tenants may take: each bound is met exactly, refused beyond with its name, and free again.

use stagepages_proto::v1::{self, StagePagesRequest};
use stagepages_tests::{
    Api, Contents, DaemonOptions, Extent, PAGE, SimScript, eventually, page, refused, region,
};
use tokio_stream::StreamExt as _;

use crate::{
    calls::spec,
    town::{Town, person, policy},
};

async fn stager(town: &Town, tenant: &str) -> Api {
    town.api(person(tenant, "stager")).await
}

fn extent(launch: &str, first: u64, pages: u64) -> StagePagesRequest {
    Extent::normal(page(first), Contents::new(first).pages(pages)).request(launch)
}

fn of_pages(pages: u64) -> v1::LaunchSpec {
    SimScript::new().spec([region(page(0), pages * PAGE)])
}

#[tokio::test]
async fn launches_count_until_they_are_deleted() {
    let town = Town::with("[tenant.blue]\nlaunches = 2\n");
    let (blue, red) = (stager(&town, "blue").await, stager(&town, "red").await);
    blue.create("a", spec()).await.unwrap();
    blue.create("b", spec()).await.unwrap();
    let refusal = refused(blue.create("c", spec()).await, "QUOTA_EXCEEDED");
    refusal.has_quota("tenant.blue.launches");
    assert_eq!(refusal.meta("launch"), "launches/c");
    // A repeat is no new launch, and another tenant has ids and bounds of its own.
    blue.create("b", spec()).await.unwrap();
    for id in ["a", "b", "c"] {
        red.create(id, spec()).await.unwrap();
    }
    blue.abort("launches/a").await.unwrap();
    refused(blue.create("c", spec()).await, "QUOTA_EXCEEDED");
    blue.delete("launches/a").await.unwrap();
    blue.create("c", spec()).await.unwrap();
}

#[tokio::test]
async fn memory_counts_until_a_launch_is_over_for_one_and_for_all() {
    let bounds = format!(
        "[default]\nmemory_bytes = {}\n[total]\nmemory_bytes = {}\n",
        8 * PAGE,
        12 * PAGE
    );
    let town = Town::with(&bounds);
    let (blue, red) = (stager(&town, "blue").await, stager(&town, "red").await);
    blue.create("a", of_pages(5)).await.unwrap();
    refused(blue.create("b", of_pages(4)).await, "QUOTA_EXCEEDED")
        .has_quota("tenant.blue.memory_bytes");
    blue.create("b", of_pages(3)).await.unwrap();
    refused(red.create("a", of_pages(5)).await, "QUOTA_EXCEEDED").has_quota("total.memory_bytes");
    red.create("a", of_pages(4)).await.unwrap();
    blue.abort("launches/a").await.unwrap();
    red.create("b", of_pages(4)).await.unwrap();
}

#[tokio::test]
async fn staged_pages_count_and_a_refused_call_installs_nothing() {
    let town = Town::with(&format!("[tenant.blue]\nstaged_bytes = {}\n", 4 * PAGE));
    let blue = stager(&town, "blue").await;
    for id in ["a", "b"] {
        blue.create(id, of_pages(8)).await.unwrap();
    }
    let first = StagePagesRequest {
        request_id: "first".to_owned(),
        ..extent("launches/a", 0, 3)
    };
    let answer = blue.stage_request(first.clone()).await.unwrap();
    let refusal = refused(
        blue.stage_request(extent("launches/b", 0, 2)).await,
        "QUOTA_EXCEEDED",
    );
    refusal
        .has_quota("tenant.blue.staged_bytes")
        .installed(0)
        .state("CREATED");
    blue.stage_request(extent("launches/b", 0, 1))
        .await
        .unwrap();
    // There is no room for one page more; the repeat of a call brings none.
    refused(
        blue.stage_request(extent("launches/b", 1, 1)).await,
        "QUOTA_EXCEEDED",
    );
    assert_eq!(blue.stage_request(first).await.unwrap(), answer);
    // What is there already was let in, too: its answer is a refusal of the quota, not a count.
    assert_eq!(blue.get("launches/a").await.unwrap().installed_pages, 3);
    blue.abort("launches/a").await.unwrap();
    eventually("the room of a launch that is over", async || {
        blue.stage_request(extent("launches/b", 1, 3)).await.ok()
    })
    .await;
}

#[tokio::test]
async fn racing_calls_never_get_more_than_there_is() {
    let town = Town::with(&format!("[tenant.blue]\nstaged_bytes = {}\n", 16 * PAGE));
    let blue = stager(&town, "blue").await;
    for id in ["a", "b", "c", "d"] {
        blue.create(id, of_pages(16)).await.unwrap();
    }
    let mut calls = tokio::task::JoinSet::new();
    for nth in 0..16 {
        for id in ["a", "b", "c", "d"] {
            let blue = blue.clone();
            let request = extent(&format!("launches/{id}"), nth, 1);
            calls.spawn(async move { blue.stage_request(request).await });
        }
    }
    let mut counted = 0;
    while let Some(answer) = calls.join_next().await {
        match answer.unwrap() {
            Ok(answer) => counted += answer.installed_pages,
            Err(status) => drop(refused(Err::<(), _>(status), "QUOTA_EXCEEDED")),
        }
    }
    assert_eq!(counted, 16);
    let mut there = 0;
    for id in ["a", "b", "c", "d"] {
        there += blue
            .get(&format!("launches/{id}"))
            .await
            .unwrap()
            .installed_pages;
    }
    assert_eq!(there, 16);
}

#[tokio::test]
async fn streams_count_while_they_are_open() {
    let town = Town::with("[tenant.blue]\nstreams = 3\n");
    let blue = stager(&town, "blue").await;
    blue.create("a", spec()).await.unwrap();
    let watch = || v1::WatchLaunchRequest {
        name: "launches/a".to_owned(),
        uid: String::new(),
    };
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut watched = blue
            .launches
            .clone()
            .watch_launch(watch())
            .await
            .unwrap()
            .into_inner();
        watched.next().await.unwrap().unwrap();
        open.push(watched);
    }
    refused(blue.get("launches/a").await, "QUOTA_EXCEEDED").has_quota("tenant.blue.streams");
    stager(&town, "red")
        .await
        .create("a", spec())
        .await
        .unwrap();
    open.pop();
    eventually("the place of a stream that was left", async || {
        blue.get("launches/a").await.ok()
    })
    .await;
}

#[tokio::test]
async fn calls_in_a_second_are_bounded_and_told_when_to_come_again() {
    let town = Town::with("[tenant.blue]\ncalls_per_second = 2\n");
    let blue = stager(&town, "blue").await;
    let mut refused_calls = 0;
    for _ in 0..50 {
        if let Err(status) = blue.get("launches/none").await
            && status.code() == tonic::Code::ResourceExhausted
        {
            refused(Err::<(), _>(status), "QUOTA_EXCEEDED")
                .has_quota("tenant.blue.calls_per_second")
                .has_retry();
            refused_calls += 1;
        }
    }
    // The test may be slow, and each second lets two more in.
    assert!(refused_calls > 0);
    refused(
        stager(&town, "red").await.get("launches/none").await,
        "LAUNCH_NOT_FOUND",
    );
}

#[tokio::test]
async fn a_smaller_quota_holds_from_the_next_call_on_and_takes_nothing_away() {
    let town = Town::start(&policy(), DaemonOptions::new());
    let blue = stager(&town, "blue").await;
    for id in ["a", "b", "c"] {
        blue.create(id, spec()).await.unwrap();
    }
    town.write_policy(&(policy() + "[default]\nlaunches = 1\n"));
    town.hang_up();
    town.logged("policy read again", 1).await;
    refused(blue.create("d", spec()).await, "QUOTA_EXCEEDED").has_quota("tenant.blue.launches");
    for id in ["a", "b", "c"] {
        blue.stage_request(extent(&format!("launches/{id}"), 0, 1))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_node_counts_the_callers_own_and_says_when_the_machine_is_full() {
    let options = DaemonOptions::new().config("max_launches = 3");
    let town = Town::start(&policy(), options);
    let (blue, red) = (stager(&town, "blue").await, stager(&town, "red").await);
    let viewer = town.api(person("red", "viewer")).await;
    let admin = town.api(person("red", "admin")).await;
    let counts = async |api: &Api| {
        let usage = api.node_info().await.usage.unwrap();
        (usage.launches, usage.live_launches, usage.launches_full)
    };
    for id in ["a", "b"] {
        blue.create(id, spec()).await.unwrap();
    }
    blue.abort("launches/a").await.unwrap();
    assert_eq!(counts(&blue).await, (2, 1, false));
    for one in [&red, &viewer, &admin] {
        assert_eq!(counts(one).await, (0, 0, false));
    }
    red.create("a", spec()).await.unwrap();
    assert_eq!(counts(&blue).await, (2, 1, true));
    assert_eq!(counts(&viewer).await, (1, 1, true));
    refused(red.create("b", spec()).await, "NO_CAPACITY");
    blue.delete("launches/a").await.unwrap();
    assert_eq!(counts(&viewer).await, (1, 1, false));
}
