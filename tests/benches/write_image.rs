//! `write_image`: WriteImage of 1 GiB against `ctr content ingest` of the same bytes, both stores on a tmpfs.
//!
//! Neither client hashes: both are told the digest, and both daemons verify it. The image is deleted after every round, which is not timed.
//!
//! **Invariant:** every round writes every byte: what is stored already is no figure.

use std::{fs, time::Instant};

use bytes::Bytes;
use stagepages_client::{
    Client,
    images::{LocalImage, PushOptions},
};
use stagepages_proto::v1::Platform;

use crate::{
    containerd,
    pairs::alternate,
    report::{Target, absent},
    scratch,
    world::{World, client},
};

pub(crate) fn run(world: &World) {
    if !containerd::is_there() {
        return absent("write_image", containerd::MISSING);
    }
    let dir = scratch::directory();
    let file = dir.path().join("image");
    fs::write(&file, world.source()).unwrap();
    let image = world.runtime.block_on(local(world.source()));
    let name = image.name().to_string();
    let digest = name.trim_start_matches("images/");
    world.with_daemon(&scratch::daemon(&dir), Platform::Sim, |bench| {
        let client = world.runtime.block_on(client(bench));
        let product = async || {
            let begun = Instant::now();
            push(&client, &image).await;
            let took = begun.elapsed();
            client.delete_image(image.name()).await.unwrap();
            took.as_secs_f64()
        };
        let pairs = alternate(
            world.scale,
            || world.runtime.block_on(product()),
            || containerd::ingest_seconds(world, &file, digest),
        );
        pairs.speed("write_image", world.source_bytes(), Target::AtLeast(8.0));
    });
}

/// `source`, with its name.
pub(crate) async fn local(source: &Bytes) -> LocalImage {
    LocalImage::of(source.clone(), |_| {}).await.unwrap()
}

/// Has the daemon store an image that it does not have.
pub(crate) async fn push(client: &Client, image: &LocalImage) {
    let options = PushOptions::default();
    let pushed = client.push_image(image, &options, |_| {}).await.unwrap();
    assert!(!pushed.was_there, "{pushed:?}");
}
