//! VerifyLaunch: agrees with what was staged, as far as the host can see.
use super::on_every_platform;
use stagepages_proto::v1::PageType;
use stagepages_tests::{Bench, Contents, Extent, PAGE, page, snapshot};

#[tokio::test(flavor = "multi_thread")]
async fn every_installed_page_is_looked_at() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let mut contents = Contents::new(91);
        bench
            .api
            .stage(&launch.name, Extent::normal(page(1), contents.pages(70)))
            .await
            .unwrap();
        bench
            .api
            .stage(
                &launch.name,
                Extent::length(page(100), PageType::Zero, 70 * PAGE),
            )
            .await
            .unwrap();
        bench
            .api
            .stage(
                &launch.name,
                Extent::data(page(1000), PageType::Unmeasured, contents.pages(2)),
            )
            .await
            .unwrap();
        let secrets = bench.abilities().page_types.contains(&PageType::Secrets);
        if secrets {
            bench
                .api
                .stage(
                    &launch.name,
                    Extent::length(page(500), PageType::Secrets, PAGE),
                )
                .await
                .unwrap();
        }
        snapshot(&bench.api, &launch.name).await;
        let verified = bench.api.verify(&launch.name).await.unwrap();
        let seen = bench.verified(142 + u64::from(secrets));
        assert_eq!(
            (verified.pages_checked, verified.contents_checked),
            (seen, seen),
            "{verified:?}"
        );
        assert_eq!(bench.info().await.verifies_contents, seen > 0);
        bench.api.finish(&launch.name, vec![]).await.unwrap();
        assert_eq!(
            bench.api.verify(&launch.name).await.unwrap(),
            verified,
            "also when finished"
        );
    })
    .await;
}
