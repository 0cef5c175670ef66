//! What the directed tests begin with: a daemon that may be killed, and launches that are known to the page.
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stagepages_proto::v1::{Launch, LaunchSpec, Platform};
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, PAGE, eventually, page, region, spec,
};
pub(crate) use stagepages_tests::{answered, over, renew_daemon, when};

/// Pages of the launches made here.
pub(crate) const PAGES: u64 = 64;

/// Runs `test` on `sim` and, where this machine has it, on `kvm`, both at once: most tests wait most of the time. The daemon is the test's to kill, and
/// must end cleanly.
pub(crate) async fn on_every_platform(test: impl AsyncFn(Bench) -> Bench) {
    let options = DaemonOptions::new();
    tokio::join!(
        Box::pin(on(&options, Platform::Sim, &test)),
        Box::pin(on(&options, Platform::Kvm, &test))
    );
}

/// The same on one platform.
pub(crate) async fn on(
    options: &DaemonOptions,
    platform: Platform,
    test: impl AsyncFn(Bench) -> Bench,
) {
    if let Some(bench) = Bench::start(options, platform).await {
        test(bench).await.end().await;
    }
}

/// A spec with 64 pages of memory and this lease.
pub(crate) fn leased(platform: Platform, seconds: i64) -> LaunchSpec {
    LaunchSpec {
        lease: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..spec(platform, [region(page(0), PAGES * PAGE)])
    }
}

/// A launch with its first `pages` pages installed.
pub(crate) async fn staged(bench: &Bench, id: &str, pages: u64) -> Launch {
    let launch = bench.launch(id).await;
    let data = Contents::new(pages).pages(pages);
    let staged = bench
        .api
        .stage(&launch.name, Extent::normal(page(0), data))
        .await;
    assert_eq!(staged.unwrap().installed_pages, pages);
    launch
}

/// Kills supervisor and daemon, does `meanwhile`, and starts the service again.
pub(crate) async fn renew_service(bench: &mut Bench, meanwhile: impl FnOnce(&mut Bench)) {
    tokio::task::block_in_place(|| {
        bench.daemon.kill_all_but_hosts();
        meanwhile(bench);
        bench.daemon.start_again();
    });
    bench.reborn().await;
}

pub(crate) fn send(process: Pid, signal: Signal) {
    kill(process, signal).unwrap();
}

/// Waits until no launch host lives.
pub(crate) async fn no_hosts(bench: &Bench) {
    eventually("the end of all hosts", async || {
        (bench.daemon.hosts() == 0).then_some(())
    })
    .await;
}

/// A firmware that is slow enough to be interrupted.
pub(crate) const SLOW: Duration = Duration::from_millis(2);
