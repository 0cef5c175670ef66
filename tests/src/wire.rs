//! HTTP/2 frame by frame, for what no client library lets one send.
//!
//! **Invariant:** no rule of HTTP/2 is kept for the caller; what came back is only noted.
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::{BufMut as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::way::Io;

/// Type of a frame (RFC 9113, 6).
pub const DATA: u8 = 0;
/// Type of a frame (RFC 9113, 6).
pub const HEADERS: u8 = 1;
/// Type of a frame (RFC 9113, 6).
pub const PRIORITY: u8 = 2;
/// Type of a frame (RFC 9113, 6).
pub const RESET: u8 = 3;
/// Type of a frame (RFC 9113, 6).
pub const SETTINGS: u8 = 4;
/// Type of a frame (RFC 9113, 6).
pub const PING: u8 = 6;
/// Type of a frame (RFC 9113, 6).
pub const GOAWAY: u8 = 7;
/// Type of a frame (RFC 9113, 6).
pub const WINDOW_UPDATE: u8 = 8;
/// Type of a frame (RFC 9113, 6).
pub const CONTINUATION: u8 = 9;

/// Flag of a frame: the request ends with it.
pub const END_STREAM: u8 = 1;
/// Flag of a frame: the headers end with it.
pub const END_HEADERS: u8 = 4;

/// The error code with which a peer says that it was asked too much (RFC 9113, 7).
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// What came back so far.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Streams whose answer has begun.
    pub answers: Vec<u32>,
    /// Streams that were reset.
    pub resets: Vec<u32>,
    /// The error code of the last GOAWAY.
    pub goaway: Option<u32>,
    /// The connection is closed.
    pub closed: bool,
}

/// A connection whose answers are read and noted.
#[derive(Debug)]
pub struct Wire {
    out: WriteHalf<Box<dyn Io>>,
    seen: Arc<Mutex<Seen>>,
    reader: JoinHandle<()>,
}

/// A frame.
///
/// # Panics
/// If the payload is longer than a frame can say.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> BytesMut {
    let mut frame = BytesMut::with_capacity(9 + payload.len());
    frame.put_uint(payload.len().try_into().expect("fits"), 3);
    frame.put_u8(kind);
    frame.put_u8(flags);
    frame.put_u32(stream);
    frame.put_slice(payload);
    frame
}

/// The header block of a gRPC call, without compression (RFC 7541, 6.2.2).
#[must_use]
pub fn call(path: &str, more: &[(&str, &str)]) -> BytesMut {
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
        block.put(header(0, name, value));
    }
    block
}

/// One header with a name of its own; `form` says what becomes of it: 0 for nothing, 0x40 to be called up again by its number, the latest of such is 62
/// (RFC 7541, 6.2 and 2.3.3).
#[must_use]
pub fn header(form: u8, name: &str, value: &str) -> BytesMut {
    let mut block = BytesMut::new();
    block.put_u8(form);
    text(&mut block, name);
    text(&mut block, value);
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
    /// Connects to a Unix socket, with `settings` for the daemon to keep to.
    ///
    /// # Panics
    /// If nobody listens there.
    pub async fn open(socket: &Path, settings: &[(u16, u32)]) -> Self {
        let stream = UnixStream::connect(socket)
            .await
            .expect("the daemon accepts");
        Self::over(Box::new(stream), settings).await
    }

    /// Begins to speak on a connection.
    ///
    /// # Panics
    /// If it is closed at once.
    pub async fn over(io: Box<dyn Io>, settings: &[(u16, u32)]) -> Self {
        let (read, out) = split(io);
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
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.out.write_all(bytes).await.is_ok() && self.out.flush().await.is_ok()
    }

    /// What came back so far.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.lock().expect("no panic").clone()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn note(mut read: ReadHalf<Box<dyn Io>>, seen: Arc<Mutex<Seen>>) {
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
