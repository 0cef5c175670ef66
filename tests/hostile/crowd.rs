//! A thousand connections that stall in the middle of a large message, and one client that stages meanwhile.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stagepages_proto::v1::stage_pages_stream_response::Answer;
use stagepages_proto::v1::{LaunchSpec, StagePagesStreamRequest};
use stagepages_tests::{
    Api, Bench, Contents, DaemonOptions, Extent, PAGE, Vital, page, region, say, snapshot, spec,
    survives,
};
use tokio_stream::StreamExt as _;
use tokio_util::task::AbortOnDropHandle;

use crate::slowly::{STAGE, Slowly};

const CROWD: usize = 1000;
/// What each of the crowd says that it will send.
const CLAIMED: usize = 4 << 20;
/// What each sends of it.
const SENT: usize = 1 << 20;
/// What is staged meanwhile: extents of 1 MiB.
const EXTENTS: u64 = 64;
const EXTENT_PAGES: u64 = 256;

fn launch(bench: &Bench) -> LaunchSpec {
    spec(
        bench.platform,
        [region(page(0), EXTENTS * EXTENT_PAGES * PAGE)],
    )
}

/// Stages into a launch of its own, on a connection of its own. Returns MiB in a second.
async fn stage(bench: &Bench, id: &str) -> f64 {
    let api = Api::unix(bench.daemon.socket()).await;
    let launch = api.create(id, launch(bench)).await.unwrap();
    let name = launch.name.clone();
    let data = Contents::new(3).pages(EXTENT_PAGES);
    let begun = Instant::now();
    let requests = tokio_stream::iter(0..EXTENTS).map({
        let name = name.clone();
        move |n| StagePagesStreamRequest {
            request: Some(Extent::normal(page(n * EXTENT_PAGES), data.clone()).request(&name)),
        }
    });
    let answers = api
        .launches
        .clone()
        .stage_pages_stream(requests)
        .await
        .unwrap();
    let mut answers = answers.into_inner();
    let mut installed = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        match answer.answer {
            Some(Answer::Result(result)) => installed += result.installed_pages,
            other => panic!("{other:?}"),
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(installed, EXTENTS * EXTENT_PAGES);
    assert_eq!(api.get(&name).await.unwrap().installed_pages, installed);
    snapshot(&api, &name).await;
    let mib = (EXTENTS * EXTENT_PAGES * PAGE) >> 20;
    f64::from(u32::try_from(mib).unwrap()) / seconds
}

/// Opens the crowd; each sends until nobody takes its bytes any more.
async fn crowd(bench: &Bench, sent: &Arc<AtomicU64>) -> Vec<(Slowly, AbortOnDropHandle<()>)> {
    let mut prefix = vec![0];
    prefix.extend(u32::try_from(CLAIMED).unwrap().to_be_bytes());
    let (prefix, chunk) = (Bytes::from(prefix), Bytes::from(vec![0; 64 << 10]));
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let client = Slowly::open(bench.daemon.socket()).await;
        let call = client.call(STAGE, &[]);
        let (prefix, chunk, sent) = (prefix.clone(), chunk.clone(), Arc::clone(sent));
        let sending = tokio::spawn(async move {
            let mut open = call.send(prefix).await;
            for _ in 0..SENT / chunk.len() {
                open = open && call.send(chunk.clone()).await;
                sent.fetch_add(if open { chunk.len() as u64 } else { 0 }, Ordering::Relaxed);
            }
            // Stalls, for as long as the call lives.
            drop(call.answer().await);
        });
        crowd.push((client, AbortOnDropHandle::new(sending)));
    }
    crowd
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_stalled_connections_stay_in_the_budget_and_staging_goes_on() {
    survives(DaemonOptions::new(), async |bench: &Bench, _| {
        let budget = bench.api.node_info().await.limits.unwrap().receive_budget_bytes;
        stage(bench, "warm-up").await;
        let alone = stage(bench, "alone").await;
        let vital = Vital::of(bench);
        let sent = Arc::new(AtomicU64::new(0));
        let crowd = crowd(bench, &sent).await;
        let most = Arc::new(AtomicU64::new(0));
        let sampling = AbortOnDropHandle::new(tokio::spawn({
            let most = Arc::clone(&most);
            async move {
                loop {
                    most.fetch_max(vital.growth(), Ordering::Relaxed);
                    // The pace of looking: looking stops the daemon's memory from changing.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }));
        let first = stage(bench, "crowded").await;
        let second = stage(bench, "crowded-still").await;
        drop(sampling);
        let most = most.load(Ordering::Relaxed);
        say(&format!(
            "{CROWD} stalled connections: at most {} MiB more in the daemon, of a budget of {} MiB; they sent {} MiB; staging at {alone:.0} MiB/s alone, {first:.0} and {second:.0} MiB/s among them",
            most >> 20,
            budget >> 20,
            sent.load(Ordering::Relaxed) >> 20,
        ));
        assert!(most <= budget, "{most} bytes of {budget}");
        drop(crowd);
    })
    .await;
}
