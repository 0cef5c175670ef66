//! SIGTERM: new launches are refused, calls in progress finish, and then the whole tree is gone with exit status 0.
use std::time::Duration;

use stagepages_proto::v1::{GetNodeInfoRequest, Platform};
use stagepages_tests::{
    Api, Bench, Daemon, DaemonOptions, PAGE, SimScript, Slow, eventually, page, refused, region,
    spec,
};

async fn drains(platform: Platform) {
    let daemon = Daemon::start(&DaemonOptions::new());
    let api = Api::unix(daemon.socket()).await;
    if !api
        .node_info()
        .await
        .platforms
        .iter()
        .any(|info| info.platform() == platform && info.available)
    {
        daemon.stop();
        return;
    }
    let bench = Bench {
        daemon,
        api,
        platform,
    };
    let slow = Slow::launch(&bench, "vm").await;
    let call = slow.start(&bench);
    slow.underway(&bench).await;
    bench.daemon.terminate();

    eventually("a daemon that drains", async || {
        let info = bench
            .api
            .node
            .clone()
            .get_node_info(GetNodeInfoRequest {})
            .await;
        info.ok()?.into_inner().usage?.draining.then_some(())
    })
    .await;
    refused(
        bench
            .api
            .create("late", spec(platform, [region(page(0), PAGE)]))
            .await,
        "DRAINING",
    );
    let answer = call.await.unwrap().expect("a call in progress finishes");
    assert_eq!((answer.installed_pages, answer.stop), (slow.pages, None));
    let status = bench.daemon.wait();
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_progress_finishes_on_sim() {
    drains(Platform::Sim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_progress_finishes_on_kvm() {
    drains(Platform::Kvm).await;
}

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
