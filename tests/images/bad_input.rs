//! Writes that are no writes: a clear reason, and nothing to be seen of them.

use bytes::Bytes;
use stagepages_proto::v1::{Platform, WriteImageRequest, write_image_request::Content};
use stagepages_tests::{Bench, DaemonOptions, on_platform, refused};

use super::desk::{Desk, MESSAGE, Subject};

async fn on_sim(config: &str, test: impl AsyncFn(&Bench)) {
    on_platform(&DaemonOptions::new().config(config), Platform::Sim, test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_those_of_the_name_are_never_seen() {
    on_sim("", async |bench: &Bench| {
        let desk = Desk::new(bench);
        let right = Subject::random(1, 600);
        let mut bytes = right.bytes.to_vec();
        bytes[700_000] ^= 1;
        let lying = Subject {
            bytes: bytes.into(),
            ..right.clone()
        };
        let refusal = refused(
            desk.write(lying.requests("a", 0)).await,
            "IMAGE_DIGEST_MISMATCH",
        );
        assert_eq!(refusal.meta("image"), right.name);
        assert!(desk.missing(&right).await);
        // Its space is given back, and the same upload can begin anew.
        assert_eq!(bench.api.node_info().await.usage.unwrap().image_bytes, 0);
        refused(desk.query(&right, "a").await, "IMAGE_NOT_FOUND");
        desk.write(right.requests("a", 0)).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_breaks_a_rule_is_named_and_what_was_written_stays() {
    on_sim("", async |bench: &Bench| {
        let desk = Desk::new(bench);
        let image = Subject::random(2, 600);
        let good = image.requests("a", 0);
        let changed = |nth: usize, change: &dyn Fn(&mut WriteImageRequest)| {
            let mut requests = good.clone();
            change(&mut requests[nth]);
            requests
        };
        let table: [(Vec<WriteImageRequest>, &str, &str); 9] = [
            (Vec::new(), "MALFORMED_REQUEST", ""),
            (
                changed(0, &|it| it.name = "launches/vm".into()),
                "MALFORMED_REQUEST",
                "name",
            ),
            (
                changed(0, &|it| it.name.make_ascii_uppercase()),
                "MALFORMED_REQUEST",
                "name",
            ),
            (
                changed(0, &|it| it.upload_id.clear()),
                "MALFORMED_REQUEST",
                "upload_id",
            ),
            (
                changed(0, &|it| it.upload_id = "x".repeat(65)),
                "MALFORMED_REQUEST",
                "upload_id",
            ),
            (changed(0, &|it| it.size = 0), "MALFORMED_REQUEST", "size"),
            (
                changed(0, &|it| it.size = 1 << 60),
                "IMAGE_TOO_LARGE",
                "size",
            ),
            (changed(2, &|it| it.offset += 1), "IMAGE_OFFSET", "offset"),
            (
                changed(2, &|it| it.name = Subject::random(9, 1).name),
                "MALFORMED_REQUEST",
                "name",
            ),
        ];
        for (nth, (mut requests, reason, field)) in table.into_iter().enumerate() {
            // Each is an upload of its own, but for those without a name for it.
            if let Some(first) = { requests.first_mut() }.filter(|it| it.upload_id == "a") {
                first.upload_id = format!("a{nth}");
            }
            let refusal = refused(desk.write(requests).await, reason);
            if !field.is_empty() {
                refusal.blames(field);
            }
            assert!(desk.missing(&image).await);
        }
        // A message came before what was wrong.
        assert_eq!(
            desk.query(&image, "a7").await.unwrap().committed_offset,
            MESSAGE as u64
        );
        let short = good[..3].to_vec();
        refused(desk.write(short).await, "MALFORMED_REQUEST");
        let beyond = WriteImageRequest {
            offset: 2 * MESSAGE as u64,
            content: Some(Content::Data(Bytes::from(vec![1; MESSAGE]))),
            ..good[0].clone()
        };
        refused(desk.write(vec![beyond]).await, "MALFORMED_REQUEST");
        desk.write(image.requests("a", 2 * MESSAGE as u64))
            .await
            .unwrap();
        // Once it is there nothing is written any more, whatever is sent.
        desk.write(changed(1, &|it| it.offset = 77)).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_holds_and_gives_up_what_is_used_least() {
    on_sim(
        "image_quota_bytes = 10485760\nmax_image_bytes = 8388608",
        async |bench: &Bench| {
            let desk = Desk::new(bench);
            let [a, b, c] = [1, 2, 3].map(|seed| Subject::random(seed, 1024));
            let large = Subject::random(4, 2049);
            refused(desk.write(large.requests("x", 0)).await, "IMAGE_TOO_LARGE");
            desk.put(&a).await;
            desk.put(&b).await;
            // Staged from, so that it is used later than the other.
            let launch = bench.launch("vm").await;
            super::desk::stage(bench, &launch.name, &a).await.unwrap();
            desk.put(&c).await;
            assert!(!desk.missing(&a).await && desk.missing(&b).await);
            let usage = bench.api.node_info().await.usage.unwrap();
            assert_eq!((usage.images, usage.image_bytes), (2, 2 * a.size()));
            // What is being written counts as a whole, and is not dropped for another.
            let mut open = Vec::new();
            for seed in [5, 6] {
                let image = Subject::random(seed, 1024);
                let (requests, sent) = tokio::sync::mpsc::channel(4);
                for request in &image.requests("open", 0)[..2] {
                    requests.send(request.clone()).await.unwrap();
                }
                let mut client = desk.client.clone();
                let stream = tokio_stream::wrappers::ReceiverStream::new(sent);
                let call = tokio::spawn(async move { client.write_image(stream).await });
                stagepages_tests::eventually("a write under way", async || {
                    let state = desk.query(&image, "open").await.ok()?;
                    (state.committed_offset > 0).then_some(())
                })
                .await;
                open.push((requests, call));
            }
            let third = Subject::random(7, 1024);
            let refusal = refused(
                desk.write(third.requests("open", 0)).await,
                "QUOTA_EXCEEDED",
            );
            assert!(refusal.message.contains("quota"), "{refusal:?}");
            for (requests, call) in open {
                drop(requests);
                refused(call.await.unwrap(), "MALFORMED_REQUEST");
            }
            // Left by their writers, they go where there is need.
            desk.put(&third).await;
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_stalls_is_told_and_its_space_is_given_back() {
    on_sim(
        "stall_timeout = \"300ms\"\nimage_write_idle = \"1s\"",
        async |bench: &Bench| {
            let desk = Desk::new(bench);
            let image = Subject::random(1, 600);
            let (requests, sent) = tokio::sync::mpsc::channel(4);
            for request in &image.requests("a", 0)[..2] {
                requests.send(request.clone()).await.unwrap();
            }
            let stream = tokio_stream::wrappers::ReceiverStream::new(sent);
            let answer = desk.client.clone().write_image(stream).await;
            refused(answer, "DEADLINE_EXPIRED");
            drop(requests);
            stagepages_tests::eventually(
                "the space of a write that nobody goes on with",
                async || {
                    let usage = bench.api.node_info().await.usage.unwrap();
                    (usage.image_bytes == 0).then_some(())
                },
            )
            .await;
            refused(desk.query(&image, "a").await, "IMAGE_NOT_FOUND");
        },
    )
    .await;
}
