//! A daemon that somebody has taken over: each thing that it then tries is denied, and launches live on.
use nix::sys::signal::{Signal, kill};
use stagepages_proto::v1::Platform;
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, answered, eventually, intruder_library, page,
};

/// What a daemon survives, with what it is told.
const REFUSED: [(&str, &str); 8] = [
    ("open", "errno 013"),
    ("open-kvm", "errno 013"),
    ("connect", "errno 013"),
    ("socket-netlink", "errno 001"),
    ("map-exec", "errno 001"),
    ("protect-exec", "errno 001"),
    ("ioctl", "errno 001"),
    ("fork", "errno 001"),
];

/// What ends it.
const DEADLY: [&str; 5] = ["exec", "ptrace", "mount", "bpf", "io-uring"];

async fn start(attempt: &str) -> Bench {
    let library = intruder_library().to_str().expect("is text");
    let options = DaemonOptions::new()
        .environment("LD_PRELOAD", library)
        .environment("STAGEPAGES_INTRUDER", attempt);
    Bench::start(&options, Platform::Sim).await.unwrap()
}

async fn stages(bench: &Bench, name: &str, at: u64) {
    let data = Contents::new(at).pages(2);
    let staged = bench.api.stage(name, Extent::normal(page(at), data)).await;
    assert_eq!(staged.unwrap().installed_pages, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_daemon_must_not_do_is_denied_and_launches_live_on() {
    for (attempt, outcome) in REFUSED {
        let bench = start(attempt).await;
        let launch = bench.launch("vm").await;
        stages(&bench, &launch.name, 0).await;
        let daemon = bench.daemon.daemon_pid();
        kill(daemon, Signal::SIGUSR1).unwrap();
        let said = format!("intruder: {attempt}: ");
        let line = eventually("the intruder's words", async || {
            let log = bench.daemon.log();
            let line = log.lines().find(|line| line.starts_with(&said));
            line.map(str::to_owned)
        });
        assert_eq!(line.await, format!("{said}{outcome}"));
        assert_eq!(bench.daemon.daemon_pid(), daemon, "{attempt}");
        stages(&bench, &launch.name, 2).await;
        bench.api.abort(&launch.name).await.unwrap();
        bench.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_an_intruder_does_ends_the_daemon_and_launches_live_on() {
    for attempt in DEADLY {
        let mut bench = start(attempt).await;
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
