//! FinishLaunch: the digest that was expected, the repeat, and the end of staging.
use super::{on_every_platform, subjects};
use stagepages_proto::v1::{FinishLaunchRequest, LaunchState, PageType, SevSnpFinish};
use stagepages_tests::{Bench, Contents, Extent, PAGE, lease_aside, page, refused, snapshot};

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_launch_takes_no_more_pages() {
    on_every_platform(async |bench: &Bench| {
        let name = bench.launch("vm").await.name;
        let data = Contents::new(61).pages(4);
        bench
            .api
            .stage(&name, Extent::normal(page(2), data.clone()))
            .await
            .unwrap();
        let finished = bench.api.finish(&name, vec![]).await.unwrap();
        assert_eq!(
            (finished.state(), finished.installed_pages),
            (LaunchState::Finished, 4)
        );
        assert!(
            finished.end_time.is_some() && finished.abort.is_none() && !finished.resources_released
        );
        assert_eq!(bench.api.get(&name).await.unwrap(), finished);

        let before = snapshot(&bench.api, &name).await;
        for first in [0, 2] {
            let refusal = refused(
                bench
                    .api
                    .stage(&name, Extent::normal(page(first), data.clone()))
                    .await,
                "WRONG_STATE",
            );
            refusal.state("FINISHED").has_precondition();
        }
        assert_eq!(snapshot(&bench.api, &name).await, before);
        bench.assert_holds(&finished, page(2), &data);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_returns_the_first_answer() {
    on_every_platform(async |bench: &Bench| {
        let name = bench.launch("vm").await.name;
        bench
            .api
            .stage(&name, Extent::length(page(0), PageType::Zero, PAGE))
            .await
            .unwrap();
        let first = bench.api.finish(&name, vec![]).await.unwrap();
        assert_eq!(bench.api.finish(&name, vec![]).await.unwrap(), first);
        // A launch may also be finished empty.
        let empty = bench.launch("empty").await;
        assert_eq!(
            bench.api.finish(&empty.name, vec![]).await.unwrap().state(),
            LaunchState::Finished
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_that_differs_is_refused_and_the_launch_goes_on() {
    let case = "a_digest_that_differs_is_refused_and_the_launch_goes_on";
    subjects()
        .that_can(case)
        .run(async |bench: &Bench| {
            let name = bench.launch("vm").await.name;
            bench
                .api
                .stage(&name, Extent::normal(page(0), Contents::new(62).pages(3)))
                .await
                .unwrap();
            let before = snapshot(&bench.api, &name).await;
            let actual = bench.api.get(&name).await.unwrap().launch_digest;

            let refusal = refused(
                bench.api.finish(&name, vec![7; 48]).await,
                "DIGEST_MISMATCH",
            );
            let hex = |bytes: &[u8]| {
                bytes
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect::<String>()
            };
            assert_eq!(
                (refusal.meta("expected"), refusal.meta("actual")),
                (hex(&[7; 48]).as_str(), hex(&actual).as_str())
            );
            assert_eq!(refusal.meta("field"), "expected_launch_digest");
            assert_eq!(snapshot(&bench.api, &name).await, before, "nothing changed");

            bench
                .api
                .stage(&name, Extent::length(page(8), PageType::Zero, PAGE))
                .await
                .unwrap();
            refused(
                bench.api.finish(&name, actual.clone()).await,
                "DIGEST_MISMATCH",
            );
            let grown = bench.api.get(&name).await.unwrap().launch_digest;
            let finished = bench.api.finish(&name, grown.clone()).await.unwrap();
            assert_eq!(
                (finished.state(), &finished.launch_digest),
                (LaunchState::Finished, &grown)
            );
            assert_eq!(bench.api.finish(&name, grown).await.unwrap(), finished);
            // Other arguments than those that finished it.
            refused(bench.api.finish(&name, actual).await, "WRONG_STATE").state("FINISHED");
            refused(bench.api.finish(&name, vec![]).await, "WRONG_STATE").state("FINISHED");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_that_the_platform_cannot_have_is_refused() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let digest = bench.info().await.launch_digest_bytes;
        // Where there is none, none can be compared.
        for length in [1, 32, 47, 48, 49, 64] {
            if length == digest {
                continue;
            }
            let expected = vec![7; usize::try_from(length).unwrap()];
            refused(
                bench.api.finish(&launch.name, expected).await,
                "INVALID_LAUNCH",
            )
            .blames("expected_launch_digest");
        }
        let now = bench.api.get(&launch.name).await.unwrap();
        assert_eq!(lease_aside(&now), lease_aside(&launch));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_launch_cannot_be_finished() {
    on_every_platform(async |bench: &Bench| {
        let name = bench.launch("vm").await.name;
        bench.api.abort(&name).await.unwrap();
        refused(bench.api.finish(&name, vec![]).await, "WRONG_STATE")
            .state("ABORTED")
            .has_precondition();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_of_impossible_lengths_are_refused_at_once_and_change_nothing() {
    on_every_platform(async |bench: &Bench| {
        let name = bench.launch("vm").await.name;
        let before = snapshot(&bench.api, &name).await;
        let long = bytes::Bytes::from(vec![7; 70_000]);
        let request = |digest: &bytes::Bytes, id_block: &bytes::Bytes| FinishLaunchRequest {
            name: name.clone(),
            uid: String::new(),
            expected_launch_digest: digest.clone(),
            sev_snp: Some(SevSnpFinish {
                id_block: id_block.clone(),
                ..SevSnpFinish::default()
            }),
        };
        let none = bytes::Bytes::new();
        for (request, field) in [
            (request(&long, &none), "expected_launch_digest"),
            (request(&none, &long), "sev_snp.id_block"),
            (request(&none, &long.slice(..95)), "sev_snp.id_block"),
        ] {
            let answer = bench.api.launches.clone().finish_launch(request).await;
            refused(answer, "INVALID_LAUNCH").blames(field);
        }
        assert_eq!(snapshot(&bench.api, &name).await, before);
    })
    .await;
}
