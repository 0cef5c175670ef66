//! Small requests that are to become large ones, and large ones, on both ways to the daemon: metadata without measure, and messages that inflate.
use std::io::Write as _;
use std::process::{Command, Stdio};

use bytes::Bytes;
use stagepages_tests::wire::{
    CONTINUATION, END_HEADERS, END_STREAM, HEADERS, Wire, call, frame, header,
};
use stagepages_tests::{Raw, eventually, frame as message, refused};

use crate::floods::{WATCH, is_counted, on_both_ways, serves_others, told_to_be_calm};

const STAGE: &str = "/stagepages.v1.LaunchService/StagePages";
const STREAM: &str = "/stagepages.v1.LaunchService/StagePagesStream";

/// The largest list of headers, in bytes.
const MOST: usize = 16 << 10;

/// Sends a header block in as many frames as it takes; what the daemon does not take any more is not sent.
async fn send(wire: &mut Wire, stream: u32, flags: u8, block: &[u8]) {
    let mut kind = HEADERS;
    let mut parts = block.chunks(16 << 10).peekable();
    while let Some(part) = parts.next() {
        let last = if parts.peek().is_none() {
            END_HEADERS
        } else {
            0
        };
        wire.send(&frame(kind, flags | last, stream, part)).await;
        kind = CONTINUATION;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_headers_are_refused_and_the_connection_goes_on() {
    on_both_ways(async |bench, way| {
        let mut wire = Wire::over(way.connect(&bench.daemon).await, &[]).await;
        let large = call(WATCH, &[("x-large", &"x".repeat(MOST + 1))]);
        for stream in [1, 3, 5] {
            send(&mut wire, stream, 0, &large).await;
            eventually("the request to be refused", async || {
                let seen = wire.seen();
                let refused = seen.answers.contains(&stream) && seen.resets.contains(&stream);
                refused.then_some(())
            })
            .await;
        }
        assert!(!wire.seen().closed);
        is_counted(bench, "their headers are too large", "broken").await;
        serves_others(bench).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_giant_list_of_headers_ends_its_connection() {
    on_both_ways(async |bench, way| {
        let giant = call(WATCH, &[("x-giant", &"x".repeat(200 << 10))]);
        let mut wire = Wire::over(way.connect(&bench.daemon).await, &[]).await;
        send(&mut wire, 1, 0, &giant).await;
        told_to_be_calm(&wire).await;
        is_counted(bench, "connections end because of floods", "floods").await;
        serves_others(bench).await;
    })
    .await;
}

/// One header is said once and then called up again, in one byte each time (RFC 7541, 6.1): 12 KiB that would be 32 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn headers_that_inflate_end_their_connection() {
    const LATEST: u8 = 0x80 | 62;
    on_both_ways(async |bench, way| {
        let mut bomb = call(WATCH, &[]);
        bomb.extend(header(0x40, "x-bomb", &"x".repeat(4000)));
        bomb.extend([LATEST; 8 << 10]);
        let mut wire = Wire::over(way.connect(&bench.daemon).await, &[]).await;
        send(&mut wire, 1, END_STREAM, &bomb).await;
        told_to_be_calm(&wire).await;
        is_counted(bench, "connections end because of floods", "floods").await;
        serves_others(bench).await;
    })
    .await;
}

/// 256 MiB of nothing, in some hundred KiB.
fn bomb() -> Bytes {
    let mut gzip = Command::new("gzip")
        .args(["-9", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = gzip.stdin.take().unwrap();
    let nothing = vec![0; 1 << 20];
    let writing = std::thread::Builder::new().spawn(move || {
        for _ in 0..256 {
            input.write_all(&nothing).unwrap();
        }
    });
    let output = gzip.wait_with_output().unwrap();
    writing.unwrap().join().unwrap();
    assert!(output.status.success() && output.stdout.len() < 1 << 20);
    output.stdout.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_inflate_are_refused_as_they_are() {
    let bomb = bomb();
    on_both_ways(async |bench, way| {
        let mut raw = Raw::over(way.connect(&bench.daemon).await).await;
        for path in [STAGE, STREAM] {
            for (headers, compressed, reason) in [
                (&[][..], 1, "MALFORMED_REQUEST"),
                (&[("grpc-encoding", "identity")], 1, "MALFORMED_REQUEST"),
                (&[("grpc-encoding", "gzip")], 1, "UNSUPPORTED_OPERATION"),
                (&[("grpc-encoding", "deflate")], 1, "UNSUPPORTED_OPERATION"),
                // Not compressed, by its own word: then it is no message.
                (&[("content-encoding", "gzip")], 0, "MALFORMED_REQUEST"),
            ] {
                let answer = raw.call(path, headers, message(compressed, &bomb)).await;
                let refusal = refused(answer.unwrap().error(), reason);
                if compressed == 1 {
                    assert!(refusal.message.contains("ompress"), "{refusal:?}");
                }
            }
        }
        is_counted(
            bench,
            "requests are refused because of their framing",
            "misframed",
        )
        .await;
        serves_others(bench).await;
    })
    .await;
}
