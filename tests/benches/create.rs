//! `create_launch`: the middle time of CreateLaunch on `sim`, against that of starting and reaping `/bin/true`.
//!
//! A launch is a process of its own, so this is the least that its creation can cost.
//!
//! **Invariant:** both are done in turn, one at a time; the end of a launch is not timed, and over before the next begins.

use std::process::Command;

use stagepages_proto::v1::Platform;
use stagepages_tests::{DaemonOptions, page, region, spec};

use crate::{
    clock::Times,
    pairs::rounds,
    report::Target,
    stage::{create, end},
    world::{World, client},
};

/// Of each kind in a round.
const CALLS: u64 = 100;

/// Memory of each launch, in bytes.
const MEMORY: u64 = 4 << 20;

pub(crate) fn run(world: &World) {
    world.with_daemon(&DaemonOptions::new(), Platform::Sim, |bench| {
        let client = world.runtime.block_on(client(bench));
        let pairs = rounds(world.scale, || {
            world.runtime.block_on(async {
                let (mut created, mut reaped) = (Times::default(), Times::default());
                for _ in 0..world.scale.of(CALLS) {
                    let spec = spec(Platform::Sim, [region(page(0), MEMORY)]);
                    let launch = created.take(create(&client, spec)).await;
                    end(&client, &launch).await;
                    let status = reaped
                        .take(async { Command::new("/bin/true").status() })
                        .await;
                    assert!(status.unwrap().success());
                }
                (created.percentile(50), reaped.percentile(50))
            })
        });
        pairs.time("create_launch", Target::AtMost(5.0));
    });
}
