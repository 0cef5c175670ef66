//! Stored images: their bytes are in files, by design, and in nobody's memory but the guest's.
use sha2::{Digest as _, Sha256};
use stagepages_proto::v1::{
    ImageSlice, WriteImageRequest, image_service_client::ImageServiceClient,
    write_image_request::Content,
};
use stagepages_tests::{Bench, Extent, Marker, PAGE, page};

use super::memory::{connect, only_in, subjects};
use stagepages_proto::v1::PageType;

/// More than one piece, and no whole number of them.
const PAGES: u64 = 700;

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_in_its_file_and_in_the_guest() {
    subjects()
        .run(async |bench: &Bench| {
            let marker = Marker::new(51);
            let bytes = marker.pages(PAGES);
            let hex: String = Sha256::digest(&bytes)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let name = format!("images/sha256:{hex}");
            let api = connect(bench).await;
            let mut requests = vec![WriteImageRequest {
                name: name.clone(),
                size: bytes.len() as u64,
                upload_id: "marked".to_owned(),
                ..WriteImageRequest::default()
            }];
            requests.extend(bytes.chunks(1 << 20).enumerate().map(|(nth, part)| {
                WriteImageRequest {
                    offset: (nth << 20) as u64,
                    content: Some(Content::Data(bytes.slice_ref(part))),
                    ..WriteImageRequest::default()
                }
            }));
            let mut images = ImageServiceClient::new(api.channel.clone());
            images
                .write_image(tokio_stream::iter(requests))
                .await
                .unwrap();

            let launch = bench.launch("imaged").await;
            let staged = Extent::length(page(0), PageType::Normal, PAGE).request(&launch.name);
            let staged = stagepages_proto::v1::StagePagesRequest {
                length: None,
                image: Some(ImageSlice {
                    name,
                    offset: 0,
                    length: PAGES * PAGE,
                }),
                ..staged
            };
            api.stage_request(staged).await.unwrap();
            drop((images, api));
            let found = only_in(bench, &marker, "in the guest", |found| found.guest).await;
            assert!(!found.is_empty());
        })
        .await;
}
