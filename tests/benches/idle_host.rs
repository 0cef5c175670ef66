//! `idle_host_memory`: private memory of a launch host that was made and has nothing to do.
//!
//! **Invariant:** the host has served one call, its launch's creation.

use nix::unistd::Pid;
use stagepages_proto::v1::Platform;
use stagepages_tests::{DaemonOptions, page, region, spec};

use crate::{
    memory::{mib, private},
    pairs::alone,
    report::{Target, judged},
    stage::{create, end},
    world::{GIB, World, client},
};

pub(crate) fn run(world: &World) {
    for (name, platform) in [
        ("idle_host_memory.sim", Platform::Sim),
        ("idle_host_memory.kvm", Platform::Kvm),
    ] {
        world.with_daemon(&DaemonOptions::new(), platform, |bench| {
            let client = world.runtime.block_on(client(bench));
            let idle = async || {
                let launch = create(&client, spec(platform, [region(page(0), GIB)])).await;
                let host = Pid::from_raw(launch.host_pid.try_into().unwrap());
                let private = mib(private(host));
                end(&client, &launch).await;
                private
            };
            let private = alone(world.scale, || world.runtime.block_on(idle()));
            judged(
                world.scale,
                name,
                private,
                Target::AtMost(3.0),
                "MiB, the median",
            );
        });
    }
}
