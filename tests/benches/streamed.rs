//! `stream_memory`: what the daemon takes beside its idle memory while 8 GiB stream through it into `kvm`.
//!
//! Only the daemon's own memory: a launch's staging memory, at most 16 MiB, is a file in memory that it shares with the launch host, and maps nowhere.
//!
//! **Invariant:** one launch and one stream; the daemon was idle since its start.

use stagepages_proto::v1::Platform;
use stagepages_tests::{DaemonOptions, page, region, spec};

use crate::{
    memory::{Peak, available, mib, private},
    report::{Target, absent, figure, judged},
    stage::{create, end, stage},
    world::{World, client},
};

/// How often the source is staged.
const TIMES: u64 = 8;

pub(crate) fn run(world: &World) {
    let (source, bytes) = (world.source(), TIMES * world.source_bytes());
    if available() < bytes + bytes / 8 {
        return absent("stream_memory", "8 GiB of guest memory are not free");
    }
    world.with_daemon(&DaemonOptions::new(), Platform::Kvm, |bench| {
        let daemon = bench.daemon.daemon_pid();
        figure("stream_memory.idle_mib", mib(private(daemon)));
        let peak = Peak::watch(daemon);
        world.runtime.block_on(async {
            let client = client(bench).await;
            let region = region(page(0), bytes);
            let launch = create(&client, spec(Platform::Kvm, [region])).await;
            stage(&client, &launch, source, TIMES).await;
            end(&client, &launch).await;
        });
        let above = mib(peak.above_idle());
        let how = "MiB above idle, the most seen";
        judged(
            world.scale,
            "stream_memory",
            above,
            Target::AtMost(64.0),
            how,
        );
    });
}
