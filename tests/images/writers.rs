//! Several writers of one image.

use stagepages_proto::v1::{Platform, WriteImageRequest, write_image_request::Content};
use stagepages_tests::{Bench, Contents, DaemonOptions, on_platform, refused};
use tokio_stream::wrappers::ReceiverStream;

use super::desk::{Desk, MESSAGE, Subject, at};

async fn on_sim(test: impl AsyncFn(&Bench)) {
    on_platform(&DaemonOptions::new(), Platform::Sim, test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_with_different_bytes_under_one_name_do_not_mix() {
    on_sim(async |bench: &Bench| {
        let desk = Desk::new(bench);
        let right = Subject::random(1, 600);
        let wrong = Subject {
            bytes: Contents::new(2).pages(600),
            ..right.clone()
        };
        let (honest, lying) = tokio::join!(
            desk.write(right.requests("honest", 0)),
            desk.write(wrong.requests("lying", 0))
        );
        honest.unwrap();
        // Told that it is there already, or that these are not its bytes: whichever was first.
        if lying.is_err() {
            refused(lying, "IMAGE_DIGEST_MISMATCH");
        }
        let launch = bench.launch("vm").await;
        super::desk::stage(bench, &launch.name, &right)
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_writer_of_one_upload_takes_it_over() {
    on_sim(async |bench: &Bench| {
        let desk = Desk::new(bench);
        let image = Subject::random(1, 600);
        let (requests, sent) = tokio::sync::mpsc::channel(4);
        for request in &image.requests("a", 0)[..2] {
            requests.send(request.clone()).await.unwrap();
        }
        let mut client = desk.client.clone();
        let earlier =
            tokio::spawn(async move { client.write_image(ReceiverStream::new(sent)).await });
        let offset = stagepages_tests::eventually("a message that is written", async || {
            let state = desk.query(&image, "a").await.ok()?;
            (state.committed_offset == MESSAGE as u64).then_some(state.committed_offset)
        })
        .await;
        desk.write(image.requests("a", offset)).await.unwrap();
        // It learns of that with the next thing that it sends.
        requests.send(image.requests("a", 0)[2].clone()).await.ok();
        drop(requests);
        let told = earlier.await.unwrap();
        if told.is_err() {
            refused(told, "IMAGE_WRITE_SUPERSEDED");
        }
        assert!(!desk.missing(&image).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zeros_do_not_travel_and_count_all_the_same() {
    on_sim(async |bench: &Bench| {
        let desk = Desk::new(bench);
        let mut bytes = vec![0; 64 << 20];
        bytes[..4096].fill(7);
        bytes[(64 << 20) - 5..].fill(9);
        let image = Subject::of(bytes.into());
        let part = |offset: u64, content| WriteImageRequest {
            offset,
            content: Some(content),
            ..image.requests("z", 0)[0].clone()
        };
        let zeros = image.size() - 4096 - 5;
        let requests = vec![
            part(0, Content::Data(image.bytes.slice(..4096))),
            part(4096, Content::Zeros(zeros)),
            part(
                4096 + zeros,
                Content::Data(image.bytes.slice(at(4096 + zeros)..)),
            ),
        ];
        assert_eq!(desk.write(requests).await.unwrap().size, image.size());
        // In a file that takes no more room than its contents.
        let file = std::fs::metadata(super::desk::blob(bench, &image)).unwrap();
        assert!(std::os::unix::fs::MetadataExt::blocks(&file) * 512 < 1 << 20);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_listed_told_and_deleted() {
    on_sim(async |bench: &Bench| {
        use stagepages_proto::v1::ListImagesRequest;
        let desk = Desk::new(bench);
        let mut names = Vec::new();
        for seed in 0..5 {
            let image = Subject::random(seed, 1);
            desk.put(&image).await;
            names.push(image.name);
        }
        names.sort();
        let mut listed = Vec::new();
        let mut request = ListImagesRequest {
            page_size: 2,
            ..ListImagesRequest::default()
        };
        loop {
            let page = desk.client.clone().list_images(request.clone()).await;
            let page = page.unwrap().into_inner();
            listed.extend(page.images.into_iter().map(|image| image.name));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(listed, names);
        request.page_token = "launches".to_owned();
        refused(
            desk.client.clone().list_images(request).await,
            "MALFORMED_REQUEST",
        )
        .blames("page_token");
        let gone = Subject::random(0, 1);
        assert!(!desk.get(&gone.name).await.unwrap().in_use);
        desk.delete(&gone).await.unwrap();
        refused(desk.delete(&gone).await, "IMAGE_NOT_FOUND");
        refused(desk.get(&gone.name).await, "IMAGE_NOT_FOUND");
        assert!(!super::desk::blob(bench, &gone).exists());
    })
    .await;
}
