//! Pages beside the API: plain HTTP/1.1 by hyper, for Prometheus and for people. What is on them is somebody else's ([`Site`]).
//!
//! ```text
//!  unix, tcp ─▶ door (who came) ─▶ a place ─▶ HTTP/1.1: head within 5 s ─▶ GET or HEAD ─▶ Site ─▶ taken by the peer, a piece in 30 s
//! ```
//!
//! Who has all places taken drives out its own connections first (see `half_open`), so a scrape gets through whatever another does. A visitor that is driven
//! out, late, or silent loses its connection without a word.
//!
//! **Invariant:** nothing here waits for a peer without a bound, or keeps more of one than 16 KiB of its head; a request's body is never read.

mod door;
mod patient;

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{door::Door, patient::Patient};
use super::{
    accept::Backoff,
    connection::without_calls,
    half_open::{HalfOpen, Place},
    listen::Listen,
    peer::PeerInfo,
    server::bind_tcp,
    tally::Trouble,
    unix::{self, Access, SocketFile, UnixError},
};

/// Connections at one time, of all addresses of a listener together.
pub const MOST_CONNECTIONS: usize = 32;

/// What a head may have in bytes, and what is gathered of an answer before it is sent.
const BUFFER_BYTES: usize = 16 << 10;

/// Lines of a head.
const MOST_HEADERS: usize = 64;

/// How long each head may take until it is there.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may be without a request: longer than a minute, in which who looks regularly looks again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// How long a peer may take nothing of what it is sent.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// What an answer consists of; may be endless, and is given up with its connection.
pub type Page = UnsyncBoxBody<Bytes, Infallible>;

/// Who asks.
#[derive(Debug, Clone)]
pub enum Visitor {
    /// Whom the kernel vouches for.
    Known(PeerInfo),
    /// Whoever reaches this port.
    Anybody(SocketAddr),
}

/// What is served.
pub trait Site: Send + Sync + 'static {
    /// Answers a GET or HEAD. Of the answer to HEAD the body is left out by who sends it.
    fn visit(
        &self,
        request: Request<()>,
        visitor: Visitor,
    ) -> impl Future<Output = Response<Page>> + Send;
}

/// Addresses that are bound and not served yet.
#[derive(Debug)]
pub struct PlainListener {
    doors: Vec<Bound>,
    addresses: Vec<Listen>,
}

#[derive(Debug)]
enum Bound {
    Unix(UnixListener, SocketFile),
    Tcp(TcpListener),
}

/// Why an address cannot be served on.
#[derive(Debug, thiserror::Error)]
pub enum PlainError {
    /// A Unix socket.
    #[error("{key}")]
    Unix {
        /// The key of the configuration.
        key: &'static str,
        /// Why.
        source: UnixError,
    },
    /// A TCP address.
    #[error("{key}: cannot listen on {address}; name another address")]
    Tcp {
        /// The key of the configuration.
        key: &'static str,
        /// The address.
        address: Listen,
        /// What the system said.
        source: io::Error,
    },
}

/// A page with this text.
#[must_use]
pub fn text(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Page> {
    let mut response = Response::new(UnsyncBoxBody::new(Full::new(text.into())));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

impl PlainListener {
    /// Binds all addresses that the key of this name has, or none; those of TCP are for whoever reaches them. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// The first address that cannot be served on; sockets that were bound before it are removed again.
    pub fn bind(
        key: &'static str,
        addresses: &[Listen],
        access: Access,
    ) -> Result<Self, PlainError> {
        let mut listener = Self {
            doors: Vec::new(),
            addresses: Vec::new(),
        };
        for address in addresses {
            let (door, address) = match address {
                Listen::Unix(path) => {
                    let (socket, file) = unix::serve(path, access)
                        .map_err(|source| PlainError::Unix { key, source })?;
                    (Bound::Unix(socket, file), address.clone())
                }
                Listen::Tcp(wanted) => {
                    let (tcp, bound) = bind_tcp(*wanted).map_err(|source| PlainError::Tcp {
                        key,
                        address: address.clone(),
                        source,
                    })?;
                    (Bound::Tcp(tcp), Listen::Tcp(bound))
                }
            };
            listener.doors.push(door);
            listener.addresses.push(address);
        }
        Ok(listener)
    }

    /// The addresses as they are: a TCP port 0 has become the port that the kernel chose.
    #[must_use]
    pub fn local_addrs(&self) -> &[Listen] {
        &self.addresses
    }

    /// Serves until `drain` is cancelled and what was asked before is answered. Dropped, it ends at once.
    pub async fn serve<S: Site>(self, site: Arc<S>, drain: CancellationToken) {
        let kill = CancellationToken::new();
        let _kill_when_dropped = kill.clone().drop_guard();
        let house = Arc::new(House {
            site,
            places: Arc::new(HalfOpen::new(MOST_CONNECTIONS)),
            trouble: Trouble::default(),
            tasks: TaskTracker::new(),
            drain,
            kill,
        });
        for door in self.doors {
            let house = Arc::clone(&house);
            let tasks = house.tasks.clone();
            match door {
                Bound::Unix(socket, file) => tasks.spawn(async move {
                    house.open(socket).await;
                    drop(file);
                }),
                Bound::Tcp(tcp) => tasks.spawn(house.open(tcp)),
            };
        }
        house.tasks.close();
        house.tasks.wait().await;
    }
}

/// What all connections share.
struct House<S> {
    site: Arc<S>,
    places: Arc<HalfOpen>,
    trouble: Trouble,
    tasks: TaskTracker,
    /// Answer what was asked, take nothing new.
    drain: CancellationToken,
    /// Stop at once.
    kill: CancellationToken,
}

impl<S: Site> House<S> {
    /// Accepts until there is an end.
    async fn open<D: Door>(self: Arc<Self>, door: D) {
        let mut backoff = Backoff::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.kill.cancelled() => return,
                () = self.drain.cancelled() => return,
                accepted = door.accept() => accepted,
            };
            match accepted {
                Ok((raw, source)) => {
                    backoff = Backoff::default();
                    let (place, crowded) = self.places.enter(source);
                    if crowded && let Some(driven_out) = self.trouble.driven_out.one_more() {
                        tracing::warn!(
                            driven_out,
                            "connections for plain pages are at their limit; the oldest of whoever has most are closed"
                        );
                    }
                    let house = Arc::clone(&self);
                    self.tasks.spawn(house.receive::<D>(raw, place));
                }
                Err(error) => {
                    let Some(pause) = backoff.pause(&error) else {
                        continue;
                    };
                    tracing::warn!(%error, ?pause, "cannot accept connections for plain pages");
                    tokio::select! {
                        () = self.kill.cancelled() => return,
                        () = self.drain.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    /// Serves one connection for as long as it has its place.
    async fn receive<D: Door>(self: Arc<Self>, raw: D::Raw, place: Place) {
        let (io, visitor) = D::open(raw);
        tokio::select! {
            biased;
            () = self.kill.cancelled() => {}
            () = place.driven_out() => {}
            () = self.converse(Patient::new(io, STALL_TIMEOUT), visitor) => {}
        }
    }

    async fn converse<IO: patient::Stream>(&self, io: Patient<IO>, visitor: Visitor) {
        let count = Arc::new(watch::Sender::new(0));
        let idle = count.subscribe();
        let service = service_fn(|request: Request<Incoming>| {
            let under_way = UnderWay::new(&count);
            let visitor = visitor.clone();
            async move {
                let answer = self.answer(request, visitor).await;
                let answer = answer.map(|inner| {
                    Page::new(Counted {
                        inner,
                        _under_way: under_way,
                    })
                });
                Ok::<_, Infallible>(answer)
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(MOST_HEADERS)
            .max_buf_size(BUFFER_BYTES);
        let mut connection = pin!(http.serve_connection(TokioIo::new(io), service));
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => Some(ended),
            () = self.drain.cancelled() => None,
            () = without_calls(idle, IDLE_TIMEOUT) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(?visitor, %error, "a connection for plain pages failed");
        }
    }

    async fn answer(&self, request: Request<Incoming>, visitor: Visitor) -> Response<Page> {
        let mut answer = if matches!(*request.method(), Method::GET | Method::HEAD) {
            self.site.visit(request.map(drop), visitor).await
        } else {
            let text = text(
                StatusCode::METHOD_NOT_ALLOWED,
                "text/plain",
                "pages here are read only; use GET or HEAD\n",
            );
            with(text, header::ALLOW, "GET, HEAD")
        };
        // What is shown changes, and is what it says that it is.
        for (name, value) in [
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            let headers = answer.headers_mut();
            headers
                .entry(name)
                .or_insert(HeaderValue::from_static(value));
        }
        answer
    }
}

fn with(mut page: Response<Page>, name: HeaderName, value: &'static str) -> Response<Page> {
    page.headers_mut()
        .insert(name, HeaderValue::from_static(value));
    page
}

/// Counts a request until its answer is sent.
struct UnderWay(Arc<watch::Sender<usize>>);

impl UnderWay {
    fn new(count: &Arc<watch::Sender<usize>>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(Arc::clone(count))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// A body whose request is under way until it is gone.
struct Counted {
    inner: Page,
    _under_way: UnderWay,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
