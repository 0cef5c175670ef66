//! HTTP/2 frame by frame, for what no client library lets one send.
//!
//! **Invariant:** no rule of HTTP/2 is kept for the caller; what came back is only noted.
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::{BufMut as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;

/// Types of frames (RFC 9113, 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The error code with which a peer says that it was asked too much (RFC 9113, 7).
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// What came back so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// Streams whose answer has begun.
    pub(crate) answers: Vec<u32>,
    /// Streams that were reset.
    pub(crate) resets: Vec<u32>,
    /// The error code of the last GOAWAY.
    pub(crate) goaway: Option<u32>,
    /// The connection is closed.
    pub(crate) closed: bool,
}

/// A connection whose answers are read and noted.
#[derive(Debug)]
pub(crate) struct Wire {
    out: OwnedWriteHalf,
    seen: Arc<Mutex<Seen>>,
    reader: JoinHandle<()>,
}

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> BytesMut {
    let mut frame = BytesMut::with_capacity(9 + payload.len());
    frame.put_uint(payload.len().try_into().expect("fits"), 3);
    frame.put_u8(kind);
    frame.put_u8(flags);
    frame.put_u32(stream);
    frame.put_slice(payload);
    frame
}

/// The header block of a gRPC call, without compression (RFC 7541, 6.2.2).
pub(crate) fn call(path: &str, more: &[(&str, &str)]) -> BytesMut {
    let mut block = BytesMut::new();
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "stagepages"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    for (name, value) in usual.iter().chain(more) {
        block.put_u8(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    block
}

/// A string of HPACK: its length in seven bits and, beyond 126, in groups of seven (RFC 7541, 5.1).
fn text(block: &mut BytesMut, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length @ ..127) => block.put_u8(length),
        Ok(_) | Err(_) => {
            block.put_u8(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                block.put_u8(u8::try_from(rest % 128).expect("fits") | 128);
                rest /= 128;
            }
            block.put_u8(rest.try_into().expect("fits"));
        }
    }
    block.put_slice(text.as_bytes());
}

impl Wire {
    /// Connects, with `settings` for the daemon to keep to.
    pub(crate) async fn open(socket: &Path, settings: &[(u16, u32)]) -> Self {
        let stream = UnixStream::connect(socket)
            .await
            .expect("the daemon accepts");
        let (read, out) = stream.into_split();
        let seen = Arc::<Mutex<Seen>>::default();
        let reader = tokio::spawn(note(read, Arc::clone(&seen)));
        let mut payload = BytesMut::new();
        for (id, value) in settings {
            payload.put_u16(*id);
            payload.put_u32(*value);
        }
        let mut wire = Self { out, seen, reader };
        assert!(wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await);
        assert!(wire.send(&frame(SETTINGS, 0, 0, &payload)).await);
        wire
    }

    /// Sends `bytes`; false once the daemon has hung up.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.out.write_all(bytes).await.is_ok()
    }

    /// What came back so far.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().expect("no panic").clone()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn note(mut read: OwnedReadHalf, seen: Arc<Mutex<Seen>>) {
    let mut head = [0; 9];
    while read.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length.try_into().expect("fits")];
        if read.read_exact(&mut payload).await.is_err() {
            break;
        }
        let mut seen = seen.lock().expect("no panic");
        match (head[3], payload.get(4..8)) {
            (HEADERS, _) => seen.answers.push(stream),
            (RESET, _) => seen.resets.push(stream),
            (GOAWAY, Some(code)) => {
                seen.goaway = Some(u32::from_be_bytes(code.try_into().expect("four bytes")));
            }
            _ => {}
        }
    }
    seen.lock().expect("no panic").closed = true;
}
