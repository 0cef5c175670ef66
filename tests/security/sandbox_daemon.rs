//! A daemon that somebody has taken over: each thing that it then tries is denied, and launches live on.
use std::net::TcpListener;

use nix::sys::signal::{Signal, kill};
use stagepages_proto::v1::Platform;
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, answered, eventually, intruder_library, page,
};

/// What a daemon survives, with what it is told.
const REFUSED: [(&str, &str); 14] = [
    ("open", "errno 013"),
    ("open-kvm", "errno 013"),
    ("connect", "errno 013"),
    ("connect-mptcp", "errno 001"),
    ("fast-open", "errno 001"),
    ("socket-udp", "errno 001"),
    // Also of a port that it was given: it listens where it does.
    ("bind:0", "errno 001"),
    ("listen", "errno 001"),
    ("socket-netlink", "errno 001"),
    ("map-exec", "errno 001"),
    ("protect-exec", "errno 001"),
    ("ioctl", "errno 001"),
    ("fork", "errno 001"),
    ("signal", "errno 001"),
];

/// What ends it.
const DEADLY: [&str; 5] = ["exec", "ptrace", "mount", "bpf", "io-uring"];

/// What comes of each where there is no sandbox. That of nothing that is there ends in an errno which only the call itself gives.
const UNCONFINED: [(&str, &str); 18] = [
    ("open", "done"),
    ("open-kvm", "done"),
    ("connect", "errno 111"),
    ("connect-mptcp", "errno 111"),
    ("fast-open", "errno 111"),
    ("socket-udp", "done"),
    ("bind:0", "done"),
    ("listen", "done"),
    ("socket-netlink", "errno 094"),
    ("map-exec", "done"),
    ("protect-exec", "done"),
    ("ioctl", "errno 025"),
    ("fork", "done"),
    ("signal", "done"),
    ("exec", "errno 002"),
    ("ptrace", "errno 003"),
    ("mount", "errno 002"),
    ("bpf", "errno 022"),
];

async fn start(attempt: &str, options: DaemonOptions) -> Bench {
    let library = intruder_library().to_str().expect("is text");
    let options = options
        .environment("LD_PRELOAD", library)
        .environment("STAGEPAGES_INTRUDER", attempt);
    Bench::start(&options, Platform::Sim).await.unwrap()
}

/// Makes the daemon's intruder act, and waits for its words.
async fn try_it(bench: &Bench, attempt: &str) -> String {
    kill(bench.daemon.daemon_pid(), Signal::SIGUSR1).unwrap();
    let said = format!("intruder: {attempt}: ");
    let outcome = eventually("the intruder's words", async || {
        let log = bench.daemon.log();
        // Whole: the last line may still be written.
        let line = log
            .split_inclusive('\n')
            .find(|line| line.starts_with(&said));
        let outcome = line?.strip_prefix(&said)?.strip_suffix('\n');
        outcome.map(str::to_owned)
    });
    outcome.await
}

async fn stages(bench: &Bench, name: &str, at: u64) {
    let data = Contents::new(at).pages(2);
    let staged = bench.api.stage(name, Extent::normal(page(at), data)).await;
    assert_eq!(staged.unwrap().installed_pages, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_daemon_must_not_do_is_denied_and_launches_live_on() {
    for (attempt, outcome) in REFUSED {
        let bench = start(attempt, DaemonOptions::new()).await;
        let launch = bench.launch("vm").await;
        stages(&bench, &launch.name, 0).await;
        let daemon = bench.daemon.daemon_pid();
        assert_eq!(try_it(&bench, attempt).await, outcome, "{attempt}");
        assert_eq!(bench.daemon.daemon_pid(), daemon, "{attempt}");
        stages(&bench, &launch.name, 2).await;
        bench.api.abort(&launch.name).await.unwrap();
        bench.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_an_intruder_does_ends_the_daemon_and_launches_live_on() {
    for attempt in DEADLY {
        let mut bench = start(attempt, DaemonOptions::new()).await;
        let launch = bench.launch("vm").await;
        stages(&bench, &launch.name, 0).await;
        let host = bench.daemon.host(&launch);
        kill(bench.daemon.daemon_pid(), Signal::SIGUSR1).unwrap();
        bench.reborn().await;
        let log = bench.daemon.log();
        assert!(log.contains("(SIGSYS): its sandbox"), "{attempt}: {log}");
        assert!(!log.contains("intruder: "), "{attempt} was answered: {log}");
        answered(&bench, &launch.name).await;
        assert_eq!(bench.daemon.host(&launch), host, "{attempt}");
        stages(&bench, &launch.name, 2).await;
        bench.api.abort(&launch.name).await.unwrap();
        bench.end().await;
    }
}

/// What comes of an attempt in a daemon that listens on no port.
async fn outcome(attempt: &str, options: DaemonOptions) -> String {
    let bench = start(attempt, options.without_tcp()).await;
    let outcome = try_it(&bench, attempt).await;
    bench.daemon.stop();
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_reaches_the_collectors_port_and_no_other() {
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (collector, other) = (listen(), listen());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let (collector, other) = (port(&collector), port(&other));
    let traced = || {
        let endpoint = format!("otlp_endpoint = \"http://127.0.0.1:{collector}\"");
        DaemonOptions::new().config(&endpoint)
    };
    for (attempt, expected) in [
        (format!("connect:{collector}"), "done"),
        (format!("connect:{other}"), "errno 013"),
        (format!("connect-mptcp:{other}"), "errno 001"),
        (format!("fast-open:{other}"), "errno 001"),
    ] {
        let outcome = outcome(&attempt, traced()).await;
        assert_eq!(outcome, expected, "{attempt}");
    }
    let attempt = format!("connect:{collector}");
    let outcome = outcome(&attempt, DaemonOptions::new()).await;
    assert_eq!(outcome, "errno 013", "{attempt} without a collector");
}

/// So the attempts are real, and it is the sandbox that stops them.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_sandbox_they_come_about_in_a_daemon_too() {
    for (attempt, outcome) in UNCONFINED {
        let bench = start(attempt, DaemonOptions::new().config("sandbox = \"off\"")).await;
        assert_eq!(try_it(&bench, attempt).await, outcome, "{attempt}");
        bench.end().await;
    }
}
