//! Clients that stop in the middle: of a message, of a stream, of everything.
use bytes::Bytes;
use prost::Message as _;
use stagepages_kvm::Gpa;
use stagepages_proto::v1::StagePagesStreamRequest;
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, eventually, frame, page, refused, snapshot, survives,
};

use crate::slowly::{STAGE, STREAM, Slowly};

fn impatient() -> DaemonOptions {
    DaemonOptions::new().config("stall_timeout = \"300ms\"")
}

/// A framed request of StagePages for `pages` pages at `gpa`.
fn one(name: &str, gpa: Gpa, pages: u64) -> Bytes {
    let data = Contents::new(gpa.get()).pages(pages);
    frame(0, &Extent::normal(gpa, data).request(name).encode_to_vec())
}

/// The same on a stream.
pub(crate) fn of_stream(request: stagepages_proto::v1::StagePagesRequest) -> Bytes {
    let request = StagePagesStreamRequest {
        request: Some(request),
    };
    frame(0, &request.encode_to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_stops_half_way_ends_its_call_and_no_other() {
    survives(impatient(), async |bench: &Bench, _| {
        let launch = bench.launch("vm").await;
        let client = Slowly::open(bench.daemon.socket()).await;
        let whole = one(&launch.name, page(0), 16);
        for bytes in [0, 3, 5, 100, whole.len() - 1] {
            let call = client.call(STAGE, &[]);
            assert!(call.send(whole.slice(..bytes)).await);
            refused(call.answer().await, "DEADLINE_EXPIRED");
        }
        // Also where the message is whole, and only the end of the request is missing.
        let call = client.call(STAGE, &[]);
        assert!(call.send(whole.clone()).await);
        refused(call.answer().await, "DEADLINE_EXPIRED");
        assert_eq!(
            bench.api.get(&launch.name).await.unwrap().installed_pages,
            0
        );
        // The connection is none the worse for it.
        let call = client.call(STAGE, &[]);
        assert!(call.send(whole).await);
        call.finish().await.unwrap();
        assert_eq!(
            bench.api.get(&launch.name).await.unwrap().installed_pages,
            16
        );
        snapshot(&bench.api, &launch.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_may_rest_between_its_messages_but_not_in_one() {
    survives(impatient(), async |bench: &Bench, _| {
        let launch = bench.launch("vm").await;
        let client = Slowly::open(bench.daemon.socket()).await;
        let resting = client.call(STREAM, &[]);
        let ending = client.call(STREAM, &[]);
        let request =
            |n: u64| of_stream(Extent::normal(page(n), vec![1; 4096]).request(&launch.name));
        assert!(resting.send(request(0)).await);
        assert!(ending.send(request(1)).await);
        assert!(ending.send(request(2).slice(..999)).await);
        // That this one ended says that the other had time enough to.
        refused(ending.answer().await, "DEADLINE_EXPIRED");
        assert!(!resting.is_answered());
        assert!(resting.send(request(3)).await);
        resting.finish().await.unwrap();
        assert_eq!(
            bench.api.get(&launch.name).await.unwrap().installed_pages,
            3
        );
        snapshot(&bench.api, &launch.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_stream_and_gone_leaves_exactly_the_whole_messages() {
    survives(DaemonOptions::new(), async |bench: &Bench, _| {
        let launch = bench.launch("vm").await;
        for round in 0..20 {
            let client = Slowly::open(bench.daemon.socket()).await;
            let call = client.call(STREAM, &[]);
            let at = |n: u64| page(round * 8 + n * 4);
            for n in 0..2 {
                let data = Contents::new(round).pages(4);
                assert!(
                    call.send(of_stream(Extent::normal(at(n), data).request(&launch.name)))
                        .await
                );
                let installed = round * 8 + (n + 1) * 4;
                if n == 0 {
                    // Half of the next one, then nothing: what came before it is applied all the same.
                    eventually("the first message to be applied", async || {
                        let launch = bench.api.get(&launch.name).await.unwrap();
                        (launch.installed_pages >= installed).then_some(())
                    })
                    .await;
                }
            }
            let half =
                of_stream(Extent::normal(page(900), vec![9; 4 * 4096]).request(&launch.name));
            assert!(call.send(half.slice(..half.len() / 2)).await);
            drop(client);
            // The second message may have been on its way; stage it again, and know.
            let data = Contents::new(round).pages(4);
            match bench
                .api
                .stage(&launch.name, Extent::normal(at(1), data.clone()))
                .await
            {
                Ok(answer) => assert_eq!(answer.installed_pages, 4),
                Err(status) => {
                    let refusal = refused::<()>(Err(status), "ALREADY_INSTALLED");
                    assert_eq!(refusal.meta("identical"), "true");
                    assert_eq!(refusal.number("identical_pages"), 4);
                }
            }
        }
        let found = bench.api.get(&launch.name).await.unwrap();
        assert_eq!(found.installed_pages, 20 * 8);
        snapshot(&bench.api, &launch.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_calls_is_told_to_go_away() {
    let options = DaemonOptions::new().config("idle_timeout = \"300ms\"");
    survives(options, async |bench: &Bench, vital| {
        let mut idle = Vec::new();
        for _ in 0..8 {
            idle.push(Slowly::open(bench.daemon.socket()).await);
        }
        // Their clients keep them; the daemon does not.
        vital.recovered().await;
        // One with a call stays, though nothing happens in it.
        let busy = Slowly::open(bench.daemon.socket()).await;
        let call = busy.call(STREAM, &[]);
        let others = Slowly::open(bench.daemon.socket()).await;
        eventually("another one to be sent away", async || {
            others.is_closed().then_some(())
        })
        .await;
        assert!(!busy.is_closed());
        drop(call);
    })
    .await;
}
