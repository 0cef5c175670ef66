//! What comes while an extent is being installed: verification waits for it, and the end of staging loses none of its pages.
use super::on_every_platform;
use stagepages_proto::v1::{LaunchState, PageType};
use stagepages_tests::{Bench, Extent, PAGE, Refusal, page, refused, snapshot};

use stagepages_tests::Slow;

#[tokio::test(flavor = "multi_thread")]
async fn verification_waits_for_a_running_extent() {
    on_every_platform(async |bench: &Bench| {
        let slow = Slow::launch(bench, "vm").await;
        let call = slow.start(bench);
        slow.underway(bench).await;
        let verified = bench.api.verify(&slow.launch.name).await.unwrap();
        assert!(verified.consistent, "{verified:?}");
        let now = bench.api.get(&slow.launch.name).await.unwrap();
        assert_eq!(
            (now.installed_pages, verified.pages_checked),
            (slow.pages, bench.verified(slow.pages)),
            "in the middle of it"
        );
        assert_eq!(call.await.unwrap().unwrap().installed_pages, slow.pages);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finishing_behind_a_running_extent_loses_no_page_and_no_count() {
    on_every_platform(async |bench: &Bench| {
        let slow = Slow::launch(bench, "vm").await;
        let call = slow.start(bench);
        slow.underway(bench).await;
        let finished = bench.api.finish(&slow.launch.name, vec![]).await.unwrap();
        assert_eq!(finished.state(), LaunchState::Finished);
        let counted = match call.await.unwrap() {
            Ok(answer) => answer.installed_pages,
            Err(status) => Refusal::of(&status).number("installed_pages"),
        };
        assert_eq!(finished.installed_pages, counted);
        let before = snapshot(&bench.api, &slow.launch.name).await;
        let late = Extent::length(page(0), PageType::Normal, PAGE);
        refused(
            bench.api.stage(&slow.launch.name, late).await,
            "WRONG_STATE",
        )
        .state("FINISHED");
        assert_eq!(snapshot(&bench.api, &slow.launch.name).await, before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_cancelled_while_it_waits_is_applied_whole_or_not_at_all() {
    on_every_platform(async |bench: &Bench| {
        let slow = Slow::launch(bench, "vm").await;
        let half = slow.pages / 2;
        let part = |first| Extent::length(page(first), PageType::Normal, half * PAGE);
        let (first, second) = (
            slow.start_part(bench, part(0)),
            slow.start_part(bench, part(half)),
        );
        slow.underway(bench).await;
        second.abort();
        assert_eq!(first.await.unwrap().unwrap().installed_pages, half);
        drop(second.await);
        // Verification waits for whatever the host still has to do.
        bench.api.verify(&slow.launch.name).await.unwrap();
        snapshot(&bench.api, &slow.launch.name).await;
        let installed = bench
            .api
            .get(&slow.launch.name)
            .await
            .unwrap()
            .installed_pages;
        assert!(
            installed == half || installed == slow.pages,
            "{installed} of {}",
            slow.pages
        );
    })
    .await;
}
