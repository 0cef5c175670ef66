//! `stream_kvm`: StagePagesStream of 1 GiB into `kvm` over a Unix socket, against the loop without an RPC.
//!
//! The client is the project's own, in this process; what it does is part of the product's time.
//!
//! **Invariant:** both sides read the same resident bytes.

use stagepages_proto::v1::Platform;
use stagepages_tests::{DaemonOptions, page, region, spec};

use crate::{
    baseline,
    pairs::alternate,
    report::Target,
    stage::{create, end, stage},
    world::{World, client},
};

pub(crate) fn run(world: &World) {
    let source = world.source();
    world.with_daemon(&DaemonOptions::new(), Platform::Kvm, |bench| {
        let client = world.runtime.block_on(client(bench));
        let product = async || {
            let region = region(page(0), world.source_bytes());
            let launch = create(&client, spec(Platform::Kvm, [region])).await;
            let took = stage(&client, &launch, source, 1).await;
            end(&client, &launch).await;
            took.as_secs_f64()
        };
        let pairs = alternate(
            world.scale,
            || world.runtime.block_on(product()),
            || baseline::install(source).as_secs_f64(),
        );
        pairs.speed("stream_kvm", world.source_bytes(), Target::AtLeast(0.9));
    });
}
