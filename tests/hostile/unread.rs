//! Clients that ask and do not take the answer.
use stagepages_proto::v1::{GetLaunchRequest, LaunchState, PageType, WatchLaunchRequest};
use stagepages_tests::wire::{DATA, END_HEADERS, END_STREAM, HEADERS, Wire, call, frame};
use stagepages_tests::{
    Bench, DaemonOptions, Extent, Vital, eventually, frame as message, on_platform, page, snapshot,
    survives,
};

use bytes::BytesMut;
use prost::Message as _;

use crate::slowly::{STREAM, WATCH};
use crate::stalls::of_stream;

const GET: &str = "/stagepages.v1.LaunchService/GetLaunch";

/// SETTINGS_INITIAL_WINDOW_SIZE: what the daemon may send on a stream unasked.
const WINDOW: u16 = 4;

/// Requests of a stream that may be applied while nobody reads the answers.
const AHEAD: u64 = 32;

async fn reset(wire: &Wire) {
    eventually("the call to be reset", async || {
        wire.seen().resets.contains(&1).then_some(())
    })
    .await;
}

fn ask(path: &str, headers: &[(&str, &str)], request: &[u8]) -> BytesMut {
    let mut ask = frame(HEADERS, END_HEADERS, 1, &call(path, headers));
    ask.extend(frame(DATA, END_STREAM, 1, &message(0, request)));
    ask
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_never_reads_is_let_go() {
    let options = DaemonOptions::new().config("stall_timeout = \"300ms\"");
    survives(options, async |bench: &Bench, _| {
        let launch = bench.launch("vm").await;
        let watch = WatchLaunchRequest {
            name: launch.name.clone(),
            ..WatchLaunchRequest::default()
        };
        // Neither a window of nothing, nor one that is used up soon: then the next change is what it does not take.
        for (n, window) in [(0, 0), (1, 20)] {
            let mut wire = Wire::open(bench.daemon.socket(), &[(WINDOW, window)]).await;
            let ask = ask(WATCH, &[], &watch.encode_to_vec());
            assert!(wire.send(&ask).await);
            eventually("the answer to begin", async || {
                wire.seen().answers.contains(&1).then_some(())
            })
            .await;
            let extent = Extent::normal(page(n), vec![1; 4096]);
            bench.api.stage(&launch.name, extent).await.unwrap();
            reset(&wire).await;
            assert!(!wire.seen().closed);
        }
        snapshot(&bench.api, &launch.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_fires_though_nobody_takes_the_answer() {
    survives(DaemonOptions::new(), async |bench: &Bench, _| {
        let launch = bench.launch("vm").await;
        let get = GetLaunchRequest {
            name: launch.name.clone(),
            ..GetLaunchRequest::default()
        };
        let watch = WatchLaunchRequest {
            name: launch.name.clone(),
            ..WatchLaunchRequest::default()
        };
        for (path, request) in [(GET, get.encode_to_vec()), (WATCH, watch.encode_to_vec())] {
            let mut wire = Wire::open(bench.daemon.socket(), &[(WINDOW, 0)]).await;
            assert!(
                wire.send(&ask(path, &[("grpc-timeout", "200m")], &request))
                    .await
            );
            reset(&wire).await;
        }
    })
    .await;
}

async fn stream_unread(bench: &Bench) {
    let vital = Vital::of(bench);
    let launch = bench.launch("vm").await;
    let mut wire = Wire::open(bench.daemon.socket(), &[(WINDOW, 0)]).await;
    assert!(
        wire.send(&frame(HEADERS, END_HEADERS, 1, &call(STREAM, &[])))
            .await
    );
    for n in 0..200 {
        let extent = Extent::length(page(n), PageType::Zero, 4096);
        let request = of_stream(extent.request(&launch.name));
        // The daemon may end the connection for so many small frames that it does not read.
        if !wire.send(&frame(DATA, 0, 1, &request)).await {
            break;
        }
    }
    // It is at work; how far it comes is told when it is over.
    eventually("the first answer that nobody reads", async || {
        let launch = bench.api.get(&launch.name).await.unwrap();
        (launch.installed_pages > 0).then_some(())
    })
    .await;
    let ended = bench.api.abort(&launch.name).await.unwrap();
    assert_eq!(ended.state(), LaunchState::Aborted);
    let found = bench.api.get(&launch.name).await.unwrap();
    assert!(found.installed_pages <= AHEAD, "{found:?}");
    eventually("the stream to be over", async || {
        let seen = wire.seen();
        (seen.closed || seen.resets.contains(&1)).then_some(())
    })
    .await;
    drop(wire);
    bench.api.delete(&launch.name).await.unwrap();
    vital.recovered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_answers_nobody_reads_is_not_read_and_ends_with_its_launch() {
    let options = DaemonOptions::new().config("stall_timeout = \"2s\"");
    for platform in [
        stagepages_proto::v1::Platform::Sim,
        stagepages_proto::v1::Platform::Kvm,
    ] {
        on_platform(&options, platform, async |bench: &Bench| {
            bench.still_serves().await;
            stream_unread(bench).await;
        })
        .await;
    }
}
