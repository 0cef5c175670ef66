//! What the kernel says that each process has left, thread by thread; with hosts as another user, and with the sandbox off.
use std::fs;

use nix::unistd::Pid;
use stagepages_proto::v1::Platform;
use stagepages_tests::{Bench, Contents, DaemonOptions, Extent, page, renew_daemon};

/// What `/proc/PID/task/TID/status` says under `key`, for each thread.
fn threads(pid: Pid, key: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let value = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.expect("is told")
            .trim_start_matches(':')
            .trim()
            .to_owned()
    };
    // One that ends meanwhile has nothing.
    let statuses =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
    statuses.map(value).collect()
}

fn all_are(pid: Pid, key: &str, wanted: &str) {
    let found = threads(pid, key);
    assert!(!found.is_empty());
    assert!(
        found.iter().all(|value| value == wanted),
        "{key} of {pid}: {found:?}"
    );
}

fn is_confined(pid: Pid) {
    for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
        all_are(pid, set, "0000000000000000");
    }
    all_are(pid, "NoNewPrivs", "1");
    all_are(pid, "Seccomp", "2");
    leaves_no_core(pid);
}

fn leaves_no_core(pid: Pid) {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<_> = core.expect("is told").split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"]);
    // Of a process that is not dumpable; as root the two differ only where the process is another user's.
    let files = fs::metadata(format!("/proc/{pid}/io")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&files), 0);
}

async fn on_each_platform(options: &DaemonOptions, test: impl AsyncFn(&mut Bench)) {
    for platform in [Platform::Sim, Platform::Kvm] {
        if let Some(mut bench) = Bench::start(options, platform).await {
            test(&mut bench).await;
            bench.end().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn daemon_and_hosts_have_nothing_left_and_no_process_leaves_a_core() {
    on_each_platform(&DaemonOptions::new(), async |bench| {
        let launch = bench.launch("vm").await;
        is_confined(bench.daemon.daemon_pid());
        is_confined(bench.daemon.host(&launch));
        leaves_no_core(bench.daemon.pid());
        bench.api.abort(&launch.name).await.unwrap();
    })
    .await;
}

/// As a supervisor that is root can have it: hosts are served, killed and adopted all the same.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_another_user_where_one_is_named() {
    let options = DaemonOptions::new().config("host_user = \"61234:61235\"");
    on_each_platform(&options, async |bench| {
        let launch = bench.launch("vm").await;
        let host = bench.daemon.host(&launch);
        all_are(host, "Uid", "61234\t61234\t61234\t61234");
        all_are(host, "Gid", "61235\t61235\t61235\t61235");
        all_are(host, "Groups", "");
        is_confined(host);
        renew_daemon(bench).await;
        let data = Contents::new(1).pages(2);
        let staged = bench.api.stage(&launch.name, Extent::normal(page(0), data));
        assert_eq!(staged.await.unwrap().installed_pages, 2);
        assert_eq!(bench.daemon.host(&launch), host);
        bench.api.abort(&launch.name).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_is_off_takes_nothing() {
    let options = DaemonOptions::new().config("sandbox = \"off\"");
    on_each_platform(&options, async |bench| {
        let launch = bench.launch("vm").await;
        for pid in [bench.daemon.daemon_pid(), bench.daemon.host(&launch)] {
            all_are(pid, "Seccomp", "0");
            all_are(pid, "NoNewPrivs", "0");
        }
        assert!(bench.daemon.log().contains("the sandbox is off"));
        bench.api.abort(&launch.name).await.unwrap();
    })
    .await;
}
