//! Floods of frames, on both ways to the daemon: the connection is told to keep calm and closed, that is counted and said once, and others are served.
use bytes::{BufMut as _, Bytes, BytesMut};
use stagepages_tests::wire::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PING, RESET, SETTINGS,
    Wire, call, frame, header,
};
use stagepages_tests::{Api, Bench, DaemonOptions, Way, eventually, say, survives};

pub(crate) const WATCH: &str = "/stagepages.v1.LaunchService/WatchLaunch";

/// Parts of a flood; none needs so many before it is ended.
const PARTS: u32 = 20_000;

/// Connections that flood, one after the other.
const ROUNDS: usize = 4;

/// What all of it may leave behind in the daemon, whose allocator keeps some of what it used.
pub(crate) const MEMORY: u64 = 24 << 20;

/// Lines of log that all of it may take.
const LINES: usize = 20;

/// Attacks a daemon of its own on either way.
pub(crate) async fn on_both_ways(attack: impl AsyncFn(&Bench, Way)) {
    for way in Way::BOTH {
        survives(DaemonOptions::new(), async |bench: &Bench, vital| {
            // What is made for the first connection by TLS is made now.
            serves_others(bench).await;
            let before = bench.daemon.log().lines().count();
            attack(bench, way).await;
            let growth = vital.growth();
            assert!(growth <= MEMORY, "{growth} bytes over {way:?}");
            let lines = bench.daemon.log().lines().count() - before;
            assert!(lines <= LINES, "{lines} lines:\n{}", bench.daemon.log());
        })
        .await;
    }
}

/// Others are served, on either way.
pub(crate) async fn serves_others(bench: &Bench) {
    Api::unix(bench.daemon.socket()).await.node_info().await;
    Api::tcp(&bench.daemon).await.node_info().await;
}

/// The daemon says so, with the first of these counted.
pub(crate) async fn is_counted(bench: &Bench, what: &str, count: &str) {
    let line = eventually(what, async || {
        let log = bench.daemon.log();
        let mut lines = log.lines().filter(|line| line.contains(what));
        lines.next().map(str::to_owned)
    })
    .await;
    let first = format!("{count}=1");
    assert!(line.contains("WARN") && line.contains(&first), "{line}");
}

/// The daemon hung up, and said why before that.
pub(crate) async fn told_to_be_calm(wire: &Wire) {
    eventually("the daemon to hang up", async || {
        wire.seen().closed.then_some(())
    })
    .await;
    let seen = wire.seen();
    assert_eq!(seen.goaway, Some(ENHANCE_YOUR_CALM), "{seen:?}");
}

/// Sends `start` and then one part after the other, until the daemon hangs up.
async fn flood(name: &str, start: &[u8], part: impl Fn(u32) -> Bytes) {
    on_both_ways(async |bench, way| {
        for round in 0..ROUNDS {
            let mut wire = Wire::over(way.connect(&bench.daemon).await, &[]).await;
            let mut sent = 0;
            wire.send(start).await;
            while wire.send(&part(sent)).await {
                sent += 1;
                assert!(sent < PARTS, "{name} goes on for ever");
                if sent == 1 {
                    serves_others(bench).await;
                }
            }
            told_to_be_calm(&wire).await;
            say(&format!(
                "flood of {name} {round} over {way:?}: ended after {sent} parts"
            ));
        }
        is_counted(bench, "connections end because of floods", "floods").await;
        serves_others(bench).await;
    })
    .await;
}

/// The same frame many times, so that the flood is not bound by system calls of this process.
fn many(frame: &BytesMut) -> impl Fn(u32) -> Bytes {
    let part: Bytes = frame.repeat(500).into();
    move |_| part.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_pings() {
    flood("PING", &[], many(&frame(PING, 0, 0, &[7; 8]))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_settings() {
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]);
    flood("SETTINGS", &[], many(&settings)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_continuations() {
    let start = frame(HEADERS, 0, 1, &call(WATCH, &[]));
    for (name, payload) in [
        ("empty CONTINUATION", BytesMut::new()),
        ("CONTINUATION", header(0, "x", "y")),
    ] {
        flood(name, &start, many(&frame(CONTINUATION, 0, 1, &payload))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets() {
    const CALLS: u32 = 200;
    let burst = |nth: u32| {
        let mut burst = BytesMut::new();
        for call_of in nth * CALLS..(nth + 1) * CALLS {
            let stream = 2 * call_of + 1;
            burst.put(frame(HEADERS, END_HEADERS, stream, &call(WATCH, &[])));
            burst.put(frame(DATA, END_STREAM, stream, &[0, 0, 0, 0, 0]));
            burst.put(frame(RESET, 0, stream, &[0, 0, 0, 8]));
        }
        burst.freeze()
    };
    flood("rapid reset", &[], burst).await;
}
