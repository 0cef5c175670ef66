//! Floods of frames that cost little to send: each is ignored or hung up on, and none costs memory or other clients.
use bytes::{Bytes, BytesMut};
use stagepages_tests::wire::{
    DATA, END_HEADERS, HEADERS, PRIORITY, WINDOW_UPDATE, Wire, call, frame,
};
use stagepages_tests::{Bench, DaemonOptions, Vital, say, survives};

use crate::slowly::{STREAM, WATCH};

/// Frames of a flood, more than any honest client sends without a pause.
const FRAMES: usize = 100_000;

/// What one flood may cost at the most. The daemon's allocator keeps some of what it used.
const MEMORY: u64 = 24 << 20;

/// Sends `start`, then `frames` over and over while another client is served.
async fn flood(bench: &Bench, vital: Vital, name: &str, start: &[u8], frames: &Bytes, each: usize) {
    let mut wire = Wire::open(bench.daemon.socket(), &[]).await;
    assert!(wire.send(start).await);
    let flooding = tokio::spawn({
        let frames = frames.clone();
        async move {
            let mut sent = 0;
            while sent < FRAMES && wire.send(&frames).await {
                sent += each;
            }
            (wire, sent)
        }
    });
    bench.still_serves().await;
    let (wire, sent) = flooding.await.unwrap();
    let (growth, end) = (vital.growth(), wire.seen().goaway);
    say(&format!(
        "flood of {name}: {sent} frames, GOAWAY {end:?}, {} KiB more in the daemon",
        growth >> 10
    ));
    assert!(growth <= MEMORY, "{growth} bytes for {name}");
    drop(wire);
    vital.recovered().await;
}

/// The same frame many times, so that the flood is not bound by system calls of this process.
fn many(frame: &BytesMut, count: usize) -> Bytes {
    frame.repeat(count).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn control_frames_cost_nobody_else() {
    survives(DaemonOptions::new(), async |bench: &Bench, vital| {
        let watch = frame(HEADERS, END_HEADERS, 1, &call(WATCH, &[]));
        let floods = [
            ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 9])),
            ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
            (
                "WINDOW_UPDATE of a stream",
                frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            ),
            ("unknown frames", frame(99, 0, 0, &[1, 2, 3])),
        ];
        for (name, frame) in floods {
            flood(bench, vital, name, &watch, &many(&frame, 500), 500).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_in_crumbs_costs_nobody_else() {
    survives(DaemonOptions::new(), async |bench: &Bench, vital| {
        let stream = frame(HEADERS, END_HEADERS, 1, &call(STREAM, &[]));
        let start = [stream, frame(DATA, 0, 1, &[0, 0, 32, 0, 0])].concat();
        let floods = [
            ("empty DATA", frame(DATA, 0, 1, &[])),
            ("DATA of one byte", frame(DATA, 0, 1, &[1])),
            // Eight bytes of padding and no data.
            (
                "padded DATA",
                frame(DATA, 8, 1, &[8, 0, 0, 0, 0, 0, 0, 0, 0]),
            ),
        ];
        for (name, frame) in floods {
            flood(bench, vital, name, &start, &many(&frame, 500), 500).await;
        }
    })
    .await;
}
