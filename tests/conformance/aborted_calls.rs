//! AbortLaunch while an extent is being installed: it stops between two chunks, and both sides say the same count.
use super::on_every_platform;
use stagepages_proto::v1::{AbortReason, LaunchState, PageType};
use stagepages_tests::{Bench, Extent, PAGE, page, refused};

use stagepages_tests::Slow;

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_call_counts_exactly_what_it_installed() {
    on_every_platform(async |bench: &Bench| {
        let slow = Slow::launch(bench, "vm").await;
        let call = slow.start(bench);
        slow.underway(bench).await;
        let aborted = bench.api.abort(&slow.launch.name).await.unwrap();
        assert_eq!(
            (aborted.state(), aborted.abort.clone().unwrap().reason()),
            (LaunchState::Aborted, AbortReason::Requested)
        );

        let refusal = refused(call.await.unwrap(), "ABORTED_DURING_CALL");
        let counted = refusal.number("installed_pages");
        refusal.state("ABORTED").at(page(counted));
        assert!(0 < counted && counted < slow.pages, "{refusal:?}");
        assert_eq!(
            bench
                .api
                .get(&slow.launch.name)
                .await
                .unwrap()
                .installed_pages,
            counted
        );
        assert_eq!(
            aborted.installed_pages, counted,
            "the answer of the abort is already the last word"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_are_refused_when_their_launch_is_aborted() {
    on_every_platform(async |bench: &Bench| {
        let slow = Slow::launch(bench, "vm").await;
        let mut calls = tokio::task::JoinSet::new();
        for part in 0..4 {
            let quarter = slow.pages / 4;
            let extent = Extent::length(page(part * quarter), PageType::Normal, quarter * PAGE);
            let (api, name) = (bench.api.clone(), slow.launch.name.clone());
            calls.spawn(async move { api.stage(&name, extent).await });
        }
        slow.underway(bench).await;
        let aborted = bench.api.abort(&slow.launch.name).await.unwrap();

        let mut counted = 0;
        let mut stopped = 0;
        while let Some(answer) = calls.join_next().await {
            match answer.unwrap() {
                // One may have got through before the abort.
                Ok(answer) => counted += answer.installed_pages,
                Err(status) => {
                    let refusal = stagepages_tests::Refusal::of(&status);
                    refusal.state("ABORTED");
                    match refusal.reason.as_str() {
                        "ABORTED_DURING_CALL" => {
                            counted += refusal.number("installed_pages");
                            stopped += 1;
                        }
                        "WRONG_STATE" => {}
                        other => panic!("{other}: {refusal:?}"),
                    }
                }
            }
        }
        assert!(stopped > 0, "somebody was in the middle of it");
        assert_eq!(
            counted, aborted.installed_pages,
            "the sum of all counts is the number of distinct pages"
        );
    })
    .await;
}
