//! Large metadata, very many times; giants are in the suite `security`.
use stagepages_tests::{Bench, DaemonOptions, Refusal, eventually, survives};

use crate::slowly::{STREAM, Slowly};

/// What GetNodeInfo's receive budget leaves to calls, in bytes: one sixteenth.
const OF_THE_BUDGET: u64 = 16;

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
