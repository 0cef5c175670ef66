//! The bound on the calls of one launch that may wait.
use stagepages_proto::v1::PageType;
use stagepages_tests::{Bench, Extent, PAGE, Refusal, Slow, page, snapshot};

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_may_wait_are_turned_away_untouched() {
    let subjects = super::subjects().with_config("max_pending_calls = 2");
    subjects
        .run(async |bench: &Bench| {
            assert_eq!(
                bench
                    .api
                    .node_info()
                    .await
                    .limits
                    .unwrap()
                    .max_pending_calls,
                2
            );
            let slow = Slow::launch(bench, "vm").await;
            let part = slow.pages / 8;
            let mut calls = tokio::task::JoinSet::new();
            for number in 0..8 {
                let extent = Extent::length(page(number * part), PageType::Normal, part * PAGE);
                let (api, name) = (bench.api.clone(), slow.launch.name.clone());
                calls.spawn(async move { api.stage(&name, extent).await });
            }
            let mut installed = 0;
            let mut turned_away = 0;
            while let Some(answer) = calls.join_next().await {
                match answer.unwrap() {
                    Ok(answer) => installed += answer.installed_pages,
                    Err(status) => {
                        let refusal = Refusal::of(&status);
                        assert_eq!(refusal.reason, "QUEUE_FULL", "{refusal:?}");
                        refusal.has_retry().installed(0);
                        turned_away += 1;
                    }
                }
            }
            assert!(turned_away > 0, "two at a time, of eight that come at once");
            assert_eq!(installed, (8 - turned_away) * part);
            snapshot(&bench.api, &slow.launch.name).await;
            assert_eq!(
                bench
                    .api
                    .get(&slow.launch.name)
                    .await
                    .unwrap()
                    .installed_pages,
                installed
            );
        })
        .await;
}
