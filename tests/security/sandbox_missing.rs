//! A kernel that lacks something for the sandbox: told at the start, and refused where nothing may be missing.
use std::path::Path;

use stagepages_proto::v1::Platform;
use stagepages_tests::{Bench, Contents, Daemon, DaemonOptions, Extent, page};

use crate::sandbox_host::{slow, with_intruder_in_hosts};

/// What is missing, and how the log names it.
const LACKING: [(&str, &str); 2] = [
    ("landlock", "Landlock (Linux"),
    ("seccomp", "seccomp filters"),
];

fn on_lesser_kernel(what: &str) -> DaemonOptions {
    DaemonOptions::new().started_by(Path::new(env!("CARGO_BIN_EXE_lacking")), what)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_kernel_lacks_is_told_in_a_line_and_the_rest_goes_on() {
    for (what, told) in LACKING {
        let bench = Bench::start(&on_lesser_kernel(what), Platform::Sim).await;
        let bench = bench.unwrap();
        let launch = bench.launch("vm").await;
        let log = bench.daemon.log();
        let wanted = format!("the sandbox is weaker without {told}");
        assert_eq!(log.matches(&wanted).count(), 1, "{log}");
        bench.api.abort(&launch.name).await.unwrap();
        bench.end().await;
    }
}

/// What a filter would have denied first: files, devices, TCP and other processes are out of a host's reach by two means, and this is the other one.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_a_filter_still_reaches_nothing_that_landlock_knows() {
    for attempt in ["open", "open-kvm", "connect", "signal"] {
        let options = with_intruder_in_hosts(attempt, on_lesser_kernel("seccomp"));
        let bench = Bench::start(&options, Platform::Sim).await.unwrap();
        let launch = bench.api.create("taken", slow()).await.unwrap();
        let data = Contents::new(1).pages(1);
        let staged = bench.api.stage(&launch.name, Extent::normal(page(0), data));
        assert_eq!(staged.await.unwrap().installed_pages, 1);
        let errno = if attempt == "signal" { "001" } else { "013" };
        let said = format!("intruder: {attempt}: errno {errno}\n");
        let log = bench.daemon.log();
        assert!(log.contains(&said), "{said}: {log}");
        bench.api.abort(&launch.name).await.unwrap();
        bench.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_may_be_missing_it_refuses_to_start_and_names_what_is() {
    let user = "host_user = \"61234:61235\"";
    for (what, told) in LACKING {
        let options = on_lesser_kernel(what)
            .config(user)
            .flag("--require-sandbox");
        let failed = Daemon::try_start(&options).expect_err("is refused");
        assert_eq!(failed.status.code(), Some(1));
        assert!(
            failed.log.contains(&format!("the sandbox lacks {told}")),
            "{}",
            failed.log
        );
    }
    // Also a user for hosts, where they would be root.
    let rooted = DaemonOptions::new().config("sandbox = \"require\"");
    let failed = Daemon::try_start(&rooted).expect_err("is refused");
    assert!(
        failed
            .log
            .contains("the sandbox lacks a user for launch hosts"),
        "{}",
        failed.log
    );
}

/// Where this kernel has it all.
#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_missing_it_starts() {
    let options = DaemonOptions::new()
        .config("host_user = \"61234:61235\"")
        .flag("--require-sandbox");
    for platform in [Platform::Sim, Platform::Kvm] {
        if let Some(bench) = Bench::start(&options, platform).await {
            bench.launch("vm").await;
            assert!(
                !bench.daemon.log().contains("weaker"),
                "{}",
                bench.daemon.log()
            );
            bench.api.abort("vm").await.ok();
            let launches = bench.api.node_info().await.usage.unwrap();
            assert_eq!(launches.launches, 1);
            bench.daemon.stop();
        }
    }
}
