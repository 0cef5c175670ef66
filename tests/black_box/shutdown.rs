//! SIGTERM where nothing is to be waited for, or too much.
use std::time::Duration;

use stagepages_proto::v1::Platform;
use stagepages_tests::{
    Api, Bench, Daemon, DaemonOptions, PAGE, SimScript, Slow, page, region, spec,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_daemon_with_launches_ends_at_once() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let api = Api::unix(daemon.socket()).await;
    for _ in 0..5 {
        api.create("", spec(Platform::Sim, [region(page(0), PAGE)]))
            .await
            .unwrap();
    }
    // Connections that stay open must not hold it up; that no host stays is asserted by the harness.
    daemon.stop();
    drop(api);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grace_period_is_an_end_to_waiting() {
    let daemon = Daemon::start(
        &DaemonOptions::new()
            .config("grace = \"1s\"")
            .config("chunk_pages = 1"),
    );
    let api = Api::unix(daemon.socket()).await;
    let bench = Bench {
        daemon,
        api,
        platform: Platform::Sim,
    };
    // Minutes, and nobody is prepared to wait that long.
    let script = SimScript::new().latency(Duration::from_millis(100));
    let launch = bench
        .api
        .create("vm", script.spec([region(page(0), 4096 * PAGE)]))
        .await
        .unwrap();
    let slow = Slow {
        launch,
        pages: 4096,
    };
    let call = slow.start(&bench);
    slow.underway(&bench).await;
    bench.daemon.terminate();
    let status = bench.daemon.wait();
    assert!(
        status.code().is_some(),
        "ended by itself, not by a signal: {status}"
    );
    call.await
        .unwrap()
        .expect_err("nobody installs 4096 of these in a second");
}
