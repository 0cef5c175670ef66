//! Metadata giants: one too large a list of headers, and very many that are not.
use stagepages_tests::{Bench, DaemonOptions, Refusal, eventually};

use crate::slowly::{STREAM, Slowly, WATCH};
use crate::vital::survives;
use crate::wire::{CONTINUATION, END_HEADERS, END_STREAM, HEADERS, Wire, call, frame};

/// What GetNodeInfo's receive budget leaves to calls, in bytes: one sixteenth.
const OF_THE_BUDGET: u64 = 16;

#[tokio::test(flavor = "multi_thread")]
async fn a_giant_list_of_headers_ends_its_connection() {
    survives(DaemonOptions::new(), async |bench: &Bench, vital| {
        let block = call(WATCH, &[("x-giant", &"x".repeat(200 << 10))]);
        let mut wire = Wire::open(bench.daemon.socket(), &[]).await;
        let mut parts = block.chunks(16 << 10).peekable();
        let mut kind = HEADERS;
        while let Some(part) = parts.next() {
            let last = if parts.peek().is_none() {
                END_HEADERS
            } else {
                0
            };
            let first = if kind == HEADERS { END_STREAM } else { 0 };
            wire.send(&frame(kind, last | first, 1, part)).await;
            kind = CONTINUATION;
        }
        eventually("the daemon to hang up", async || {
            wire.seen().closed.then_some(())
        })
        .await;
        assert!(
            wire.seen().goaway.is_some_and(|code| code != 0),
            "{:?}",
            wire.seen()
        );
        assert!(vital.growth() < 8 << 20);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_with_large_headers_are_bounded_in_their_sum() {
    survives(DaemonOptions::new(), async |bench: &Bench, vital| {
        let budget = bench
            .api
            .node_info()
            .await
            .limits
            .unwrap()
            .receive_budget_bytes;
        let large = "x".repeat(14 << 10);
        let headers = [("x-large", large.as_str())];
        let mut clients = Vec::new();
        let mut calls = Vec::new();
        // Together more than the budget has for calls.
        for _ in 0..16 {
            let client = Slowly::open(bench.daemon.socket()).await;
            for _ in 0..100 {
                calls.push(client.call(STREAM, &headers));
            }
            clients.push(client);
        }
        let refusal = eventually("a call that finds no room", async || {
            calls.iter().position(crate::slowly::SlowCall::is_answered)
        })
        .await;
        let status = calls.swap_remove(refusal).finish().await.unwrap_err();
        let refusal = Refusal::of(&status);
        assert_eq!(refusal.reason, "QUEUE_FULL", "{refusal:?}");
        refusal.has_retry();
        let growth = vital.growth();
        assert!(growth <= budget, "{growth} bytes of {budget}");
        assert!(
            growth <= 4 * budget / OF_THE_BUDGET,
            "{growth} bytes for calls"
        );
        // When they are gone, there is room again.
        drop((calls, clients));
        vital.recovered().await;
    })
    .await;
}
