//! A daemon that drains, a launch host that hangs, and a page that is not wanted.

use std::time::Duration;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use stagepages_proto::v1::PageType;
use stagepages_tests::{
    Api, Contents, Daemon, DaemonOptions, Extent, PAGE, SimScript, eventually, halt, page, region,
};

use crate::site::{connect, get, look, talk};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_holds_up_nobody_and_is_said_to() {
    let daemon = Daemon::start(&DaemonOptions::new().without_tcp());
    let api = Api::unix(daemon.socket()).await;
    let spec = SimScript::new().spec([region(page(0), 64 * PAGE)]);
    let launch = api.create("vm", spec).await.unwrap();
    let pages = Contents::new(1).pages(8);
    api.stage(&launch.name, Extent::normal(page(0), pages))
        .await
        .unwrap();
    let host = Pid::from_raw(launch.host_pid.try_into().unwrap());
    halt(host);
    let said = "did not answer in time";
    // Many look at once, and again: one question is under way.
    for _ in 0..2 {
        let looks: Vec<_> = (0..8)
            .map(|_| {
                let socket = daemon.status_socket().to_owned();
                tokio::spawn(async move {
                    let stream = tokio::net::UnixStream::connect(socket).await.unwrap();
                    talk(stream, &get("/launches/vm")).await.unwrap()
                })
            })
            .collect();
        for one in looks {
            let page = one.await.unwrap();
            let turned_away = matches!(page.status, 429 | 503);
            assert!(turned_away || page.says(said), "{page:?}");
        }
        let overview = look(&daemon, "/").await.ok();
        assert_eq!(overview.number("launch:vm:installed_pages"), 8);
    }
    eventually("the host is known to be silent", async || {
        let page = look(&daemon, "/").await;
        page.says("host silent").then_some(())
    })
    .await;
    assert!(
        look(&daemon, "/launches/vm")
            .await
            .ok()
            .says("AbortLaunch ends it")
    );
    kill(host, Signal::SIGCONT).unwrap();
    eventually("the page map again", async || {
        let page = look(&daemon, "/launches/vm").await;
        (page.status == 200 && !page.says(said) && page.number("pages:vm:normal") == 8)
            .then_some(())
    })
    .await;
    api.abort(&launch.name).await.unwrap();
    // The ledger of one that is over is the daemon's own.
    eventually("the page map of a launch that is over", async || {
        let page = look(&daemon, "/launches/vm").await;
        (page.status == 200 && page.says("released") && page.body.contains("pages:vm:normal"))
            .then_some(())
    })
    .await;
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_drains_says_so_until_its_end() {
    let daemon = Daemon::start(&DaemonOptions::new().without_tcp());
    let api = Api::unix(daemon.socket()).await;
    let script = SimScript::new().latency(Duration::from_millis(20));
    let spec = script.spec([region(page(0), 4096 * PAGE)]);
    api.create("vm", spec).await.unwrap();
    let zeros = Extent::length(page(0), PageType::Zero, 1000 * PAGE);
    let call = tokio::spawn({
        let api = api.clone();
        async move { api.stage("launches/vm", zeros).await }
    });
    eventually("the first page", async || {
        let launch = api.get("launches/vm").await.unwrap();
        (launch.installed_pages > 0).then_some(())
    })
    .await;
    assert!(!look(&daemon, "/").await.ok().says("Draining."));
    daemon.terminate();
    eventually("the page says that the daemon drains", async || {
        let page = look(&daemon, "/").await;
        (page.status == 200 && page.says("Draining.")).then_some(())
    })
    .await;
    api.abort("launches/vm").await.unwrap();
    drop(call.await.unwrap());
    let socket = daemon.status_socket().to_owned();
    assert!(daemon.wait().success());
    assert!(!socket.exists(), "the socket is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_page_where_none_is_wanted() {
    let daemon = Daemon::start(
        &DaemonOptions::new()
            .config("status_listen = []")
            .without_tcp(),
    );
    assert!(!daemon.dir().join("run/status.sock").exists());
    daemon.stop();
    // It is as private as the API's.
    let daemon = Daemon::start(&DaemonOptions::new().without_tcp());
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(daemon.status_socket())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(connect(&daemon).await);
    daemon.stop();
}
