//! Floods of frames that cost little to send: each is answered, ignored or hung up on, and none costs memory or other clients.
use bytes::{BufMut as _, Bytes, BytesMut};
use stagepages_tests::{Bench, DaemonOptions, say};

use crate::slowly::{STREAM, WATCH};
use crate::vital::{Vital, survives};
use crate::wire::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PING, PRIORITY, RESET,
    SETTINGS, WINDOW_UPDATE, Wire, call, frame,
};

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
            ("PING", frame(PING, 0, 0, &[7; 8])),
            ("SETTINGS", frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9])),
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

#[tokio::test(flavor = "multi_thread")]
async fn a_header_block_without_end_is_hung_up_on() {
    survives(DaemonOptions::new(), async |bench: &Bench, vital| {
        let start = frame(HEADERS, 0, 1, &call(WATCH, &[]));
        for (name, payload) in [("empty CONTINUATION", vec![]), ("CONTINUATION", vec![0; 9])] {
            let mut wire = Wire::open(bench.daemon.socket(), &[]).await;
            assert!(wire.send(&start).await);
            let frames = many(&frame(CONTINUATION, 0, 1, &payload), 100);
            let mut sent = 0;
            while wire.send(&frames).await {
                sent += 1;
                assert!(sent < FRAMES, "{name} goes on for ever");
            }
        }
        assert!(vital.growth() <= MEMORY);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_are_bounded_and_cost_nobody_else() {
    survives(DaemonOptions::new(), async |bench: &Bench, vital| {
        for round in 0..4 {
            let mut wire = Wire::open(bench.daemon.socket(), &[]).await;
            let mut stream = 1;
            let mut open = true;
            while open && stream < 40_000 {
                let mut burst = BytesMut::new();
                for _ in 0..200 {
                    burst.put(frame(HEADERS, END_HEADERS, stream, &call(WATCH, &[])));
                    burst.put(frame(DATA, END_STREAM, stream, &[0, 0, 0, 0, 0]));
                    burst.put(frame(RESET, 0, stream, &[0, 0, 0, 8]));
                    stream += 2;
                }
                open = wire.send(&burst).await;
            }
            bench.still_serves().await;
            let seen = wire.seen();
            say(&format!(
                "rapid reset {round}: {} calls, GOAWAY {:?}, {} KiB more in the daemon",
                stream / 2,
                seen.goaway,
                vital.growth() >> 10
            ));
            assert!(open || seen.goaway == Some(ENHANCE_YOUR_CALM), "{seen:?}");
        }
        assert!(vital.growth() <= MEMORY, "{}", vital.growth());
    })
    .await;
}
