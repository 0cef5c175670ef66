//! Clients whose lengths are lies: a message that is longer or shorter than it says, or than anything may be.
use bytes::Bytes;
use stagepages_tests::{Bench, DaemonOptions, Extent, frame, page, refused, snapshot, survives};

use crate::slowly::{STAGE, STREAM, Slowly};
use crate::stalls::of_stream;

/// `message` with `length` in its prefix.
fn claims(message: &Bytes, length: u32) -> Bytes {
    let mut lie = message.to_vec();
    lie[1..5].copy_from_slice(&length.to_be_bytes());
    lie.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_about_lengths_are_refused_and_apply_nothing() {
    survives(DaemonOptions::new(), async |bench: &Bench, _| {
        let launch = bench.launch("vm").await;
        let client = Slowly::open(bench.daemon.socket()).await;
        let extent = Extent::normal(page(0), vec![5; 4096]).request(&launch.name);
        let single = frame(0, &prost::Message::encode_to_vec(&extent));
        let stream = of_stream(extent);
        for (path, message) in [(STAGE, &single), (STREAM, &stream)] {
            let length = u32::try_from(message.len() - 5).unwrap();
            let lies = [
                (length + 1, "MALFORMED_REQUEST"),
                (length - 1, "MALFORMED_REQUEST"),
                (0, "MALFORMED_REQUEST"),
                (4 << 20, "MALFORMED_REQUEST"),
                ((4 << 20) + 1, "MESSAGE_TOO_LARGE"),
                (u32::MAX, "MESSAGE_TOO_LARGE"),
            ];
            for (lie, reason) in lies {
                let call = client.call(path, &[]);
                call.send(claims(message, lie)).await;
                refused(call.finish().await, reason);
            }
        }
        assert_eq!(
            bench.api.get(&launch.name).await.unwrap().installed_pages,
            0
        );
        // Behind true messages of a stream, a lie ends it and takes nothing back.
        let call = client.call(STREAM, &[]);
        assert!(call.send(stream.clone()).await);
        call.send(claims(&stream, u32::MAX)).await;
        refused(call.finish().await, "MESSAGE_TOO_LARGE");
        assert_eq!(
            bench.api.get(&launch.name).await.unwrap().installed_pages,
            1
        );
        snapshot(&bench.api, &launch.name).await;
    })
    .await;
}
