//! The image store.
use sha2::{Digest as _, Sha256};
use stagepages_proto::v1::{
    FindMissingImagesRequest, ImageSlice, PageType, Platform, StagePagesRequest, WriteImageRequest,
    image_service_client::ImageServiceClient, write_image_request::Content,
};
use stagepages_tests::{Contents, DaemonOptions, Extent, PAGE, on_platform, page};

use super::scrape;

#[tokio::test(flavor = "multi_thread")]
async fn the_store_is_told_as_it_is() {
    let options = DaemonOptions::new()
        .metrics()
        .config("image_quota_bytes = 100000");
    on_platform(&options, Platform::Sim, async |bench| {
        let client = ImageServiceClient::new(bench.api.channel.clone());
        let mut names = Vec::new();
        // The second has no room beside the first.
        for seed in 1..=2 {
            let bytes = Contents::new(seed).pages(16);
            let digest = Sha256::digest(&bytes);
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            let name = format!("images/sha256:{hex}");
            let request = WriteImageRequest {
                name: name.clone(),
                size: bytes.len() as u64,
                upload_id: "put".to_owned(),
                offset: 0,
                content: Some(Content::Data(bytes)),
            };
            let written = client
                .clone()
                .write_image(tokio_stream::iter([request]))
                .await;
            written.unwrap();
            names.push(name);
        }
        let asked = FindMissingImagesRequest {
            names: names.clone(),
        };
        let missing = client.clone().find_missing_images(asked).await.unwrap();
        assert_eq!(missing.into_inner().names, names[..1]);
        let launch = bench.launch("imaged").await;
        let request = Extent::length(page(0), PageType::Normal, PAGE).request(&launch.name);
        let request = StagePagesRequest {
            length: None,
            image: Some(ImageSlice {
                name: names[1].clone(),
                offset: 0,
                length: 16 * PAGE,
            }),
            ..request
        };
        bench.api.stage_request(request).await.unwrap();
        let scraped = scrape(bench);
        let count =
            |name: &str, labels: &[&str]| scraped.count(&format!("stagepages_{name}"), labels);
        assert_eq!(count("image_writes_total", &[]), 2);
        assert_eq!(count("images_removed_total", &["cause=\"evicted\""]), 1);
        assert_eq!(count("image_lookups_total", &["result=\"miss\""]), 1);
        assert_eq!(count("image_lookups_total", &["result=\"hit\""]), 2);
        assert_eq!(count("image_store_images", &["kind=\"images\""]), 1);
        assert_eq!(count("image_store_bytes", &["kind=\"images\""]), 16 * PAGE);
        // Which of them is read is told apart: a sum over kinds counts nothing twice.
        assert_eq!(count("image_store_bytes", &[]), 16 * PAGE);
        assert!(count("image_store_pinned_images", &[]) <= 1);
        assert_eq!(
            count("image_store_pinned_bytes", &[]),
            16 * PAGE * count("image_store_pinned_images", &[])
        );
        assert_eq!(count("image_store_quota_bytes", &[]), 100_000);
        assert_eq!(count("installed_pages_total", &[]), 16);
    })
    .await;
}
