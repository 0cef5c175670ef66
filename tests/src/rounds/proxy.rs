//! A proxy that is no friend: it refuses connections, delays what passes, and cuts connections off in the middle of a frame.
//!
//! What it does to a connection is drawn from a seeded generator when the connection is made. It has so many faults to give and no more,
//! so whoever tries again gets through in the end.
//!
//! **Invariant:** what it passes on is what it read, in order, up to a cut; it loses and delays, and never invents.
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::contents::Contents;

/// Longest delay of one piece, in microseconds.
const DELAY: u64 = 3000;
/// One piece in so many is delayed.
const DELAYED: u64 = 32;
/// Bytes read at a time.
const PIECE: usize = 64 << 10;
/// Most bytes of answers that pass before a cut on the way back: about a hundred answers.
const ANSWER_BYTES: u64 = 8 << 10;

/// What a proxy may do.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// Connections that are refused or cut, at most.
    pub count: u64,
    /// Bytes of requests that pass before a cut, at most.
    pub request_bytes: u64,
    /// Where its random numbers start.
    pub seed: u64,
}

/// A running proxy; it ends when its last clone is dropped, and its connections with it.
#[derive(Debug, Clone)]
pub struct Proxy {
    socket: PathBuf,
    shared: Arc<Shared>,
    _accepting: Arc<Accepting>,
}

#[derive(Debug)]
struct Accepting {
    socket: PathBuf,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: PathBuf,
    faults: Faults,
    random: Mutex<Contents>,
    left: AtomicU64,
    cuts: AtomicU64,
    refusals: AtomicU64,
    /// Bytes of requests passed on so far, over all connections.
    passed: watch::Sender<u64>,
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Refused,
    CutAfterRequests(u64),
    CutAfterAnswers(u64),
    Spared,
}

/// A connection was cut.
#[derive(Debug)]
struct Cut;

impl Faults {
    /// A proxy that passes everything on.
    #[must_use]
    pub fn none() -> Self {
        Self {
            count: 0,
            request_bytes: 1,
            seed: 0,
        }
    }
}

impl Proxy {
    /// Listens at `socket` and passes on to `upstream`.
    ///
    /// # Panics
    /// If it cannot listen there.
    #[must_use]
    pub fn start(socket: PathBuf, upstream: &Path, faults: Faults) -> Self {
        let listener = UnixListener::bind(&socket).unwrap();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            faults,
            random: Mutex::new(Contents::new(faults.seed)),
            left: AtomicU64::new(faults.count),
            cuts: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            passed: watch::Sender::new(0),
        });
        let accepting = Accepting {
            socket: socket.clone(),
            task: tokio::spawn(accept(listener, Arc::clone(&shared))),
        };
        Self {
            socket,
            shared,
            _accepting: Arc::new(accepting),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Waits until `bytes` more bytes of requests have passed.
    ///
    /// # Panics
    /// Never: what it counts lives as long as it does.
    pub async fn passes(&self, bytes: u64) {
        let mut passed = self.shared.passed.subscribe();
        let until = *passed.borrow() + bytes;
        passed.wait_for(|passed| *passed >= until).await.unwrap();
    }

    /// Connections that were cut, and that were refused.
    #[must_use]
    pub fn given(&self) -> (u64, u64) {
        let Shared { cuts, refusals, .. } = &*self.shared;
        (
            cuts.load(Ordering::Relaxed),
            refusals.load(Ordering::Relaxed),
        )
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.task.abort();
        std::fs::remove_file(&self.socket).ok();
    }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(Arc::clone(&shared).serve(client));
    }
}

impl Shared {
    fn below(&self, bound: u64) -> u64 {
        self.random.lock().unwrap().below(bound)
    }

    fn fate(&self) -> Fate {
        let fewer = |left: u64| left.checked_sub(1);
        let fault = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        if fault.is_err() {
            return Fate::Spared;
        }
        match self.below(8) {
            0 => Fate::Refused,
            1 | 2 => Fate::CutAfterAnswers(self.below(ANSWER_BYTES)),
            _ => Fate::CutAfterRequests(self.below(self.faults.request_bytes)),
        }
    }

    async fn serve(self: Arc<Self>, client: UnixStream) {
        let (requests, answers) = match self.fate() {
            Fate::Refused => {
                self.refusals.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Fate::CutAfterRequests(bytes) => (bytes, u64::MAX),
            Fate::CutAfterAnswers(bytes) => (u64::MAX, bytes),
            Fate::Spared => (u64::MAX, u64::MAX),
        };
        let Ok(daemon) = UnixStream::connect(&self.upstream).await else {
            return;
        };
        let (from_client, to_client) = client.into_split();
        let (from_daemon, to_daemon) = daemon.into_split();
        let there = self.pass(from_client, to_daemon, requests, |bytes| {
            self.passed.send_modify(|passed| *passed += bytes);
        });
        let back = self.pass(from_daemon, to_client, answers, |_| {});
        if let Err(Cut) = tokio::try_join!(there, back).map(drop) {
            self.cuts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Passes on until one side has sent all, or until `limit` bytes have passed.
    async fn pass(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        limit: u64,
        passed: impl Fn(u64),
    ) -> Result<(), Cut> {
        let mut piece = vec![0; PIECE];
        let mut left = limit;
        loop {
            let Ok(read @ 1..) = from.read(&mut piece).await else {
                to.shutdown().await.ok();
                return Ok(());
            };
            if self.below(DELAYED) == 0 {
                tokio::time::sleep(Duration::from_micros(self.below(DELAY))).await;
            }
            // A cut passes on what is before it: half a frame, half a message.
            let whole = u64::try_from(read).unwrap() <= left;
            let part = if whole {
                read
            } else {
                usize::try_from(left).unwrap()
            };
            if to.write_all(&piece[..part]).await.is_err() {
                return Ok(());
            }
            passed(u64::try_from(part).unwrap());
            if !whole {
                return Err(Cut);
            }
            left -= u64::try_from(part).unwrap();
        }
    }
}
