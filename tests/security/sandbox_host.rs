//! A launch host that somebody has taken over: each thing that it then tries ends it, and its own launch with it.
use std::time::Duration;

use nix::sys::signal::Signal;
use stagepages_proto::v1::{AbortReason, LaunchState, Platform};
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, PAGE, SimScript, intruder_library, over, page, refused,
    region, spec,
};

const ATTEMPTS: [&str; 15] = [
    "open",
    "open-kvm",
    "socket",
    "connect",
    "connect-open",
    "ptrace",
    "exec",
    "map-exec",
    "protect-exec",
    "ioctl",
    "fork",
    "signal",
    "mount",
    "bpf",
    "io-uring",
];

/// In whose hosts an intruder makes this attempt.
pub(crate) fn with_intruder_in_hosts(attempt: &str, options: DaemonOptions) -> DaemonOptions {
    let library = intruder_library().to_str().expect("is text");
    options
        .environment("LD_PRELOAD", library)
        .environment("STAGEPAGES_INTRUDER", attempt)
        .config("host_env = [\"LD_PRELOAD\", \"STAGEPAGES_INTRUDER\"]")
}

/// A launch whose host waits for firmware, which is when the intruder acts.
pub(crate) fn slow() -> stagepages_proto::v1::LaunchSpec {
    SimScript::new()
        .latency(Duration::from_micros(1))
        .spec([region(page(0), 16 * PAGE)])
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_host_tries_ends_its_own_launch_and_no_other() {
    for attempt in ATTEMPTS {
        let options = with_intruder_in_hosts(attempt, DaemonOptions::new());
        let bench = Bench::start(&options, Platform::Sim).await.unwrap();
        let other = spec(Platform::Sim, [region(page(0), 16 * PAGE)]);
        let other = bench.api.create("other", other).await.unwrap();
        let taken = bench.api.create("taken", slow()).await.unwrap();
        let data = Contents::new(1).pages(1);
        let staged = bench.api.stage(&taken.name, Extent::normal(page(0), data));
        refused(staged.await, "HOST_DIED");

        over(&bench, &taken.name).await;
        let ended = bench.api.get(&taken.name).await.unwrap();
        let cause = ended.abort.clone().expect("is told");
        assert_eq!(ended.state(), LaunchState::Aborted, "{attempt}");
        assert_eq!(cause.reason(), AbortReason::HostDied, "{attempt}");
        assert_eq!(cause.signal, Signal::SIGSYS as i32, "{attempt}");
        assert!(
            cause.message.contains("its sandbox does not allow"),
            "{cause:?}"
        );
        let said = format!("intruder: {attempt}:");
        assert!(
            !bench.daemon.log().contains(&said),
            "{attempt} was answered"
        );

        let data = Contents::new(2).pages(4);
        let staged = bench.api.stage(&other.name, Extent::normal(page(1), data));
        assert_eq!(staged.await.unwrap().installed_pages, 4, "{attempt}");
        bench.api.abort(&other.name).await.unwrap();
        bench.end().await;
    }
}

/// So the attempts are real, and it is the sandbox that stops them.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_sandbox_they_all_come_about() {
    // That of a process that is not there ends in an errno which only the call itself gives.
    for (attempt, outcome) in [
        ("open", "done"),
        ("socket", "done"),
        ("connect", "errno 111"),
        ("connect-open", "errno 088"),
        ("exec", "errno 002"),
        ("ptrace", "errno 003"),
        ("map-exec", "done"),
        ("protect-exec", "done"),
        ("ioctl", "errno 025"),
        ("fork", "done"),
        ("signal", "done"),
    ] {
        let options =
            with_intruder_in_hosts(attempt, DaemonOptions::new()).config("sandbox = \"off\"");
        let bench = Bench::start(&options, Platform::Sim).await.unwrap();
        let launch = bench.api.create("open", slow()).await.unwrap();
        let data = Contents::new(1).pages(1);
        let staged = bench.api.stage(&launch.name, Extent::normal(page(0), data));
        assert_eq!(staged.await.unwrap().installed_pages, 1, "{attempt}");
        let said = format!("intruder: {attempt}: {outcome}");
        assert!(
            bench.daemon.log().contains(&said),
            "{said}: {}",
            bench.daemon.log()
        );
        bench.api.abort(&launch.name).await.unwrap();
        bench.end().await;
    }
}
