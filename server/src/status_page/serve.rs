//! Where the page is served: HTTP/1.1 on Unix sockets and, by mutual TLS, on TCP; and the bounds of that.
//!
//! **Invariant:** a connection ends, whatever its peer does or leaves; one peer leaves room for others; nobody is answered who the kernel or a certificate does
//! not name.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{StatusPage, request::OverTls};
use crate::net::{
    Access, BindError, Listen, PeerInfo, Tls,
    pages::{self, SocketFile},
};

/// Connections at one time.
const CONNECTIONS: usize = 64;
/// Of these, those of one user, or of one address.
const OF_ONE: usize = 16;
/// How long the head of a request may take, and how long a connection may be without one.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may live. A browser makes another.
const LIFE: Duration = Duration::from_secs(120);
/// How long it may take after that to get its last answer.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long a handshake of TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// What a request's head takes, in bytes; hyper has no less than 8 KiB.
const MAX_HEAD: usize = 16 << 10;
/// Header lines of a request.
const MAX_HEADERS: usize = 64;
/// After an error of `accept`.
const PAUSE: Duration = Duration::from_millis(100);

/// Why the page cannot be served somewhere.
#[derive(Debug, thiserror::Error)]
#[error("status_listen: the status page cannot be served; name another address, or \"off\"")]
pub struct BindStatusError(#[from] BindError);

/// Where the page will be served: bound, and answering nobody yet.
#[derive(Debug)]
pub struct StatusListener {
    listeners: Vec<Listener>,
    addresses: Vec<Listen>,
}

#[derive(Debug)]
enum Listener {
    Unix {
        listener: UnixListener,
        /// Removed with it.
        _file: SocketFile,
    },
    Tcp(TcpListener, Arc<Tls>),
}

/// Binds all addresses, or none. Must be called within a tokio runtime.
///
/// # Errors
/// The first address that cannot be served on.
pub fn bind(
    addresses: &[Listen],
    access: Access,
    tls: Option<&Arc<Tls>>,
) -> Result<StatusListener, BindStatusError> {
    let mut bound = StatusListener {
        listeners: Vec::new(),
        addresses: Vec::new(),
    };
    for address in addresses {
        match address {
            Listen::Unix(path) => {
                let (listener, _file) = pages::unix(path, access)?;
                bound.listeners.push(Listener::Unix { listener, _file });
                bound.addresses.push(address.clone());
            }
            Listen::Tcp(wanted) => {
                let tls = tls.ok_or_else(|| BindError::NoTls(address.clone()))?;
                let (listener, at) = pages::tcp(*wanted)?;
                bound
                    .listeners
                    .push(Listener::Tcp(listener, Arc::clone(tls)));
                bound.addresses.push(Listen::Tcp(at));
            }
        }
    }
    Ok(bound)
}

/// Connections by whose they are.
type Counts = Arc<Mutex<HashMap<String, usize>>>;

/// A connection's place among the others; given back when it is dropped.
struct Room {
    whose: String,
    counts: Counts,
}

impl Room {
    fn take(counts: &Counts, whose: String) -> Option<Self> {
        let mut held = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let own = held.get(&whose).copied().unwrap_or(0);
        if own >= OF_ONE || held.values().sum::<usize>() >= CONNECTIONS {
            return None;
        }
        held.insert(whose.clone(), own + 1);
        Some(Self {
            whose,
            counts: Arc::clone(counts),
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut held = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = held.get_mut(&self.whose) {
            *own -= 1;
            if *own == 0 {
                held.remove(&self.whose);
            }
        }
    }
}

impl StatusListener {
    /// The addresses as they are: a TCP port 0 has become the port that the kernel chose.
    #[must_use]
    pub fn local_addrs(&self) -> &[Listen] {
        &self.addresses
    }

    /// Serves the page until `close` is cancelled. Then nothing goes on.
    pub async fn serve(self, page: StatusPage, close: CancellationToken) {
        let tasks = TaskTracker::new();
        let counts = Counts::default();
        for listener in self.listeners {
            let (page, close) = (page.clone(), close.clone());
            let (counts, connections) = (Arc::clone(&counts), tasks.clone());
            tasks.spawn(async move {
                let accepting = accept(&listener, &page, &counts, &connections, &close);
                tokio::select! {
                    () = accepting => {}
                    () = close.cancelled() => {}
                }
            });
        }
        tasks.close();
        tasks.wait().await;
    }
}

/// Accepts for as long as it is polled. Errors are those of one connection, or of a machine that lacks something: neither ends it.
async fn accept(
    listener: &Listener,
    page: &StatusPage,
    counts: &Counts,
    tasks: &TaskTracker,
    close: &CancellationToken,
) {
    loop {
        if let Err(error) = accept_one(listener, page, counts, tasks, close).await {
            tracing::debug!(%error, "a connection to the status page is not accepted");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn accept_one(
    listener: &Listener,
    page: &StatusPage,
    counts: &Counts,
    tasks: &TaskTracker,
    close: &CancellationToken,
) -> io::Result<()> {
    let (page, close) = (page.clone(), close.clone());
    match listener {
        Listener::Unix { listener, .. } => {
            let (stream, _) = listener.accept().await?;
            let peer = pages::peer(&stream)?;
            let whose = peer.names().into_iter().next().unwrap_or_default();
            if let Some(room) = Room::take(counts, whose) {
                tasks.spawn(async move {
                    within(&close, connection(stream, peer, page, false)).await;
                    drop(room);
                });
            }
        }
        Listener::Tcp(listener, tls) => {
            let (stream, address) = listener.accept().await?;
            stream.set_nodelay(true)?;
            if let Some(room) = Room::take(counts, address.ip().to_string()) {
                let tls = Arc::clone(tls);
                tasks.spawn(async move {
                    let served = async {
                        let open = pages::open(&tls, stream, address);
                        if let Ok(Some((stream, peer))) =
                            tokio::time::timeout(HANDSHAKE, open).await
                        {
                            connection(stream, peer, page, true).await;
                        }
                    };
                    within(&close, served).await;
                    drop(room);
                });
            }
        }
    }
    Ok(())
}

async fn within(close: &CancellationToken, served: impl Future<Output = ()>) {
    tokio::select! {
        () = served => {}
        () = close.cancelled() => {}
    }
}

/// Serves one connection to its end.
async fn connection<IO>(io: IO, peer: PeerInfo, page: StatusPage, over_tls: bool)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|mut request: Request<Incoming>| {
        if over_tls {
            request.extensions_mut().insert(OverTls);
        }
        let (page, peer) = (page.clone(), peer.clone());
        async move { Ok::<_, Infallible>(page.answer(&peer, &request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD);
    let connection = http.serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = tokio::time::sleep(LIFE) => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(FAREWELL, connection).await {
                Ok(ended) => ended,
                Err(_elapsed) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection to the status page failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_leaves_room_for_others_and_gives_its_own_back() {
        let counts = Counts::default();
        let take = |whose: &str| Room::take(&counts, whose.to_owned());
        let greedy: Vec<_> = (0..100).filter_map(|_| take("a")).collect();
        assert_eq!(greedy.len(), OF_ONE);
        assert!(take("b").is_some());
        let crowd: Vec<_> = (0..100).filter_map(|nth| take(&nth.to_string())).collect();
        assert_eq!(greedy.len() + crowd.len(), CONNECTIONS);
        drop((greedy, crowd));
        assert!(counts.lock().unwrap().is_empty());
    }
}
