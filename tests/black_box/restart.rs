//! A daemon that is killed: its supervisor starts another, which serves, and nothing of either is left in the end.
use nix::sys::signal::{Signal, kill};
use stagepages_proto::v1::Platform;
use stagepages_tests::{Api, Bench, Contents, Daemon, DaemonOptions, Extent, page};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_is_replaced() {
    let mut daemon = Daemon::start(&DaemonOptions::new());
    for generation in 0..3 {
        let api = Api::unix(daemon.socket()).await;
        let bench = Bench {
            daemon,
            api,
            platform: Platform::Sim,
        };
        bench.still_serves().await;
        // A launch in the middle of its life, whose host outlives the daemon.
        let launch = bench.launch(&format!("vm-{generation}")).await;
        let data = Contents::new(generation).pages(4);
        bench
            .api
            .stage(&launch.name, Extent::normal(page(0), data))
            .await
            .unwrap();

        daemon = bench.daemon;
        let killed = daemon.daemon_pid();
        kill(killed, Signal::SIGKILL).unwrap();
        daemon.restarted();
        assert_ne!(daemon.daemon_pid(), killed);
    }
    let api = Api::unix(daemon.socket()).await;
    let bench = Bench {
        daemon,
        api,
        platform: Platform::Sim,
    };
    bench.still_serves().await;
    bench.daemon.stop();
}
