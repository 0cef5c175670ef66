//! Whose id a call has, and who is told it.
use stagepages_tests::{Bench, on_every_platform};
use tonic_types::StatusExt as _;

use crate::rig::{called, create, get, small, told, with};

#[tokio::test(flavor = "multi_thread")]
async fn an_id_comes_back_with_the_answer_and_with_an_error() {
    on_every_platform(async |bench: &Bench| {
        let mut api = bench.api.launches.clone();
        let made = api
            .create_launch(called(create("named", small(bench.platform)), "build 7/3"))
            .await
            .unwrap();
        assert_eq!(told(made.metadata()), "build 7/3");

        let missing = api
            .get_launch(called(get("nobody"), "who-asks"))
            .await
            .unwrap_err();
        assert_eq!(told(missing.metadata()), "who-asks");
        let info = missing.get_details_request_info().unwrap();
        assert_eq!(info.request_id, "who-asks");
        assert!(
            missing.get_details_error_info().is_some(),
            "the reason stays: {missing:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_an_id_is_replaced_by_one_that_is_new() {
    on_every_platform(async |bench: &Bench| {
        let mut api = bench.api.launches.clone();
        let long = "x".repeat(65);
        let mut seen = Vec::new();
        for bad in [b"".as_slice(), b"\x80\xff", b"tab\there", long.as_bytes()] {
            let status = api
                .get_launch(with(get("nobody"), "x-request-id", bad))
                .await
                .unwrap_err();
            seen.push(told(status.metadata()));
        }
        let mut twice = called(get("nobody"), "one");
        let another = crate::rig::ascii("two");
        twice.metadata_mut().append("x-request-id", another);
        seen.push(told(api.get_launch(twice).await.unwrap_err().metadata()));
        for id in &seen {
            let hex = id.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(id.len() == 16 && hex, "{seen:?}");
        }
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), all, "{seen:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_served_is_told_the_id_too() {
    on_every_platform(async |bench: &Bench| {
        // No method of ours, so no handler sees it.
        let mut client = tonic::client::Grpc::new(bench.api.channel.clone());
        client.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/nobody.Knows/This");
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let status = client
            .unary(called((), "lost"), path, codec)
            .await
            .unwrap_err();
        assert_eq!(told(status.metadata()), "lost");
        let info = status.get_details_request_info().unwrap();
        assert_eq!(info.request_id, "lost");
    })
    .await;
}
