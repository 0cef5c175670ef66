//! `get_launch`: the 99th percentile of GetLaunch with 1,000 launches open on `sim`, against that of a health check in the same run.
//!
//! **Invariant:** the calls alternate on one connection each, and every launch is asked for in turn.

use stagepages_client::LaunchRef;
use stagepages_proto::v1::Platform;
use stagepages_tests::{Bench, DaemonOptions, page, region, spec};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    clock::Times,
    pairs::rounds,
    report::{Target, figure},
    stage::{create, end},
    world::{World, client},
};

const LAUNCHES: u64 = 1000;

/// Calls of each kind in a round, for each launch.
const ROUNDS_OF_CALLS: usize = 4;

/// Memory of each launch, in bytes.
const MEMORY: u64 = 4 << 20;

pub(crate) fn run(world: &World) {
    // The daemon makes one more, to prove that it serves still.
    let options = DaemonOptions::new().config("max_launches = 2000");
    world.with_daemon(&options, Platform::Sim, |bench| {
        let client = world.runtime.block_on(client(bench));
        let launches = world.runtime.block_on(async {
            let mut launches = Vec::new();
            for _ in 0..world.scale.of(LAUNCHES) {
                let spec = spec(Platform::Sim, [region(page(0), MEMORY)]);
                launches.push(create(&client, spec).await);
            }
            launches
        });
        let mut medians = (Vec::new(), Vec::new());
        let pairs = rounds(world.scale, || {
            let (get, check) = world.runtime.block_on(async {
                let names: Vec<_> = launches.iter().map(LaunchRef::from).collect();
                let (mut get, mut check) = (Times::default(), Times::default());
                let mut health = health(bench).await;
                for _ in 0..ROUNDS_OF_CALLS {
                    for name in &names {
                        get.take(client.get_launch(name)).await.unwrap();
                        let request = HealthCheckRequest::default();
                        check.take(health.check(request)).await.unwrap();
                    }
                }
                (get, check)
            });
            medians.0.push(get.percentile(50));
            medians.1.push(check.percentile(50));
            (get.percentile(99), check.percentile(99))
        });
        let median = |of: &[f64]| crate::clock::median(of) * 1e6;
        figure("get_launch.product_p50_us", median(&medians.0));
        figure("get_launch.baseline_p50_us", median(&medians.1));
        pairs.time("get_launch", Target::AtMost(2.0));
        world.runtime.block_on(async {
            for launch in &launches {
                end(&client, launch).await;
            }
        });
    });
}

/// Health checks on a connection of their own, tuned as the client's is by default.
async fn health(bench: &Bench) -> HealthClient<tonic::transport::Channel> {
    let api = stagepages_tests::Api::unix(bench.daemon.socket()).await;
    HealthClient::new(api.channel)
}
