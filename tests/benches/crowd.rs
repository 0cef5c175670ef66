//! `connection_memory`: what the daemon takes beside its idle memory for 1,000 connections that are open, each after one call.
//!
//! What a crowd takes that is in the middle of messages is the suite `hostile`'s to bound, with the same limit.
//!
//! **Invariant:** all connections are open when the memory is read.

use stagepages_proto::v1::Platform;
use stagepages_tests::DaemonOptions;

use crate::{
    memory::{Peak, mib},
    report::{Target, judged},
    world::{World, client},
};

const CONNECTIONS: u64 = 1000;

pub(crate) fn run(world: &World) {
    world.with_daemon(&DaemonOptions::new(), Platform::Sim, |bench| {
        let connections = world.scale.of(CONNECTIONS);
        let peak = Peak::watch(bench.daemon.daemon_pid());
        let (crowd, budget) = world.runtime.block_on(async {
            let mut crowd = Vec::new();
            let mut budget = 0;
            for _ in 0..connections {
                let client = client(bench).await;
                let limits = client.node_info().await.unwrap().limits.unwrap();
                budget = limits.receive_budget_bytes;
                crowd.push(client);
            }
            (crowd, budget)
        });
        let above = mib(peak.above_idle());
        drop(crowd);
        let target = Target::AtMost(mib(budget));
        let how = format!("MiB above idle with {connections} connections");
        judged(world.scale, "connection_memory", above, target, &how);
    });
}
