//! VerifyLaunch notices what somebody else did to the memory, where anybody else can do anything to it.
use stagepages_proto::v1::{FindingKind, PageType};
use stagepages_tests::{Bench, Contents, Extent, PAGE, page, snapshot};

use crate::subjects;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_was_changed_is_found() {
    let subjects = subjects().that_can("a_page_that_was_changed_is_found");
    subjects
        .run(async |bench: &Bench| {
            let launch = bench.launch("vm").await;
            bench
                .api
                .stage(
                    &launch.name,
                    Extent::normal(page(8), Contents::new(92).pages(8)),
                )
                .await
                .unwrap();
            bench
                .api
                .stage(
                    &launch.name,
                    Extent::length(page(32), PageType::Zero, 4 * PAGE),
                )
                .await
                .unwrap();
            snapshot(&bench.api, &launch.name).await;

            let memory = bench.memory(&launch);
            for number in [11, 34] {
                memory.write(page(number), b"!");
            }
            let verified = bench.api.verify(&launch.name).await.unwrap();
            assert!(!verified.consistent);
            let found: Vec<_> = verified
                .findings
                .iter()
                .map(|finding| (finding.gpa, finding.kind()))
                .collect();
            assert_eq!(
                found,
                [
                    (page(11).get(), FindingKind::Contents),
                    (page(34).get(), FindingKind::Contents)
                ]
            );
            assert_eq!((verified.findings_total, verified.pages_checked), (2, 12));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_was_slipped_in_is_found() {
    let subjects = subjects().that_can("a_page_that_was_slipped_in_is_found");
    subjects
        .run(async |bench: &Bench| {
            let launch = bench.launch("vm").await;
            bench
                .api
                .stage(
                    &launch.name,
                    Extent::normal(page(8), Contents::new(93).pages(8)),
                )
                .await
                .unwrap();
            let memory = bench.memory(&launch);
            for number in 200..350 {
                memory.write(page(number), b"smuggled");
            }
            let verified = bench.api.verify(&launch.name).await.unwrap();
            assert!(!verified.consistent);
            let found: Vec<_> = verified
                .findings
                .iter()
                .map(|finding| (finding.gpa, finding.kind()))
                .collect();
            let expected: Vec<_> = (200..300)
                .map(|number| (page(number).get(), FindingKind::Stray))
                .collect();
            assert_eq!(found, expected, "the first hundred");
            assert_eq!((verified.findings_total, verified.pages_checked), (150, 8));
        })
        .await;
}
