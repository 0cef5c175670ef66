//! Pages beside the API: HTTP/1.1 by hyper, for Prometheus and for people. What is on them is somebody else's ([`Site`]).
//!
//! ```text
//!  unix, tcp ─▶ accept (who came) ─▶ a place ─▶ TLS, where it is meant ─▶ a head within 5 s ─▶ GET or HEAD ─▶ Site ─▶ taken by the peer, a piece in 30 s
//! ```
//!
//! Who has more than a share, or most when all places are taken, drives out its own connections first (see `half_open`), so a scrape gets through whatever
//! another does. A visitor that is driven out, late, or silent loses its connection without a word.
//!
//! **Invariant:** a connection ends, whatever its peer does or leaves; no more of one is kept than 16 KiB of its head, and a request's body is never read.

mod patient;

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::patient::Patient;
use super::{
    accept::{self, Accept},
    bound::{BindError, Bound, Listener, Reach},
    half_open::{HalfOpen, Place},
    listen::Listen,
    peer::PeerInfo,
    tally::Trouble,
    tls::Protocol,
    unix::Access,
};

/// Connections at one time, of all addresses of a listener together.
const MOST_CONNECTIONS: usize = 32;

/// Of these, those of one user or one host.
const MOST_OF_ONE: usize = 16;

/// What a head may have in bytes, and what is gathered of an answer before it is sent.
const BUFFER_BYTES: usize = 16 << 10;

/// Lines of a head.
const MOST_HEADERS: usize = 64;

/// How long a handshake of TLS may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be until a head is there, the next one included: hyper counts from the last answer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a peer may take nothing of what it is sent.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection may live, however busy. Who wants more makes another.
const LIFE: Duration = Duration::from_secs(120);

/// How long it may take after that, or after the daemon's end has begun, to get its last answer.
const FAREWELL: Duration = Duration::from_secs(10);

/// What an answer consists of.
pub type Page = Full<Bytes>;

/// What is served.
pub trait Site: Send + Sync + 'static {
    /// Answers a GET or HEAD. Of the answer to HEAD the body is left out by who sends it.
    fn visit(
        &self,
        request: Request<()>,
        visitor: &PeerInfo,
    ) -> impl Future<Output = Response<Page>> + Send;
}

/// Addresses that are bound and not served yet.
#[derive(Debug)]
pub struct PageListener(Bound);

/// A page with this text.
#[must_use]
pub fn text(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Page> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

impl PageListener {
    /// Binds all addresses, or none. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The first address that cannot be served on; sockets that were bound before it are removed again.
    pub fn bind(addresses: &[Listen], access: Access, reach: Reach<'_>) -> Result<Self, BindError> {
        Bound::bind(addresses, access, reach, Protocol::Http1).map(Self)
    }

    /// The addresses as they are: a TCP port 0 has become the port that the kernel chose.
    #[must_use]
    pub fn local_addrs(&self) -> &[Listen] {
        &self.0.addresses
    }

    /// Serves until `drain` is cancelled and what was asked before is answered. Dropped, it ends at once.
    pub async fn serve<S: Site>(self, site: S, drain: CancellationToken) {
        let kill = CancellationToken::new();
        let _kill_when_dropped = kill.clone().drop_guard();
        let house = Arc::new(House {
            site,
            places: Arc::new(HalfOpen::new(MOST_CONNECTIONS, MOST_OF_ONE)),
            trouble: Trouble::default(),
            tasks: TaskTracker::new(),
            drain,
            kill,
        });
        let tasks = house.tasks.clone();
        for listener in self.0.listeners {
            let house = Arc::clone(&house);
            match listener {
                Listener::Unix(listener, file) => tasks.spawn(async move {
                    house.open(listener).await;
                    drop(file);
                }),
                Listener::Tls(listener) => tasks.spawn(house.open(listener)),
                Listener::Plain(listener) => tasks.spawn(house.open(listener)),
            };
        }
        tasks.close();
        tasks.wait().await;
    }
}

/// What all connections share.
struct House<S> {
    site: S,
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
    async fn open<A: Accept>(self: Arc<Self>, listener: A) {
        let listener = Arc::new(listener);
        while let Some((raw, source)) = accept::next(&*listener, &self.drain, &self.kill).await {
            let (place, crowded) = self.places.enter(source);
            if crowded && let Some(driven_out) = self.trouble.driven_out.one_more() {
                tracing::warn!(
                    driven_out,
                    "connections for pages are at their limit; the oldest of whoever has most are closed"
                );
            }
            let house = Arc::clone(&self);
            let serving = house.receive(Arc::clone(&listener), raw, place);
            self.tasks.spawn(serving);
        }
    }

    /// Serves one connection for as long as it has its place.
    async fn receive<A: Accept>(self: Arc<Self>, listener: Arc<A>, raw: A::Raw, place: Place) {
        let served = async {
            let open = listener.open(raw, &self.trouble);
            if let Ok(Some((io, visitor))) = timeout(HANDSHAKE_TIMEOUT, open).await {
                self.converse(Patient::new(io, STALL_TIMEOUT), &visitor)
                    .await;
            }
        };
        tokio::select! {
            biased;
            () = self.kill.cancelled() => {}
            () = place.driven_out() => {}
            () = served => {}
        }
    }

    async fn converse<IO: patient::Stream>(&self, io: Patient<IO>, visitor: &PeerInfo) {
        let service = service_fn(async |request: Request<Incoming>| {
            Ok::<_, Infallible>(self.answer(request, visitor).await)
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
            () = sleep(LIFE) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%visitor, %error, "a connection for pages failed");
        }
    }

    async fn answer(&self, request: Request<Incoming>, visitor: &PeerInfo) -> Response<Page> {
        let read = matches!(*request.method(), Method::GET | Method::HEAD);
        let mut answer = if read {
            self.site.visit(request.map(drop), visitor).await
        } else {
            let words =
                "pages are read-only: use GET or HEAD; changes are made by the API (stagectl)\n";
            text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", words)
        };
        let headers = answer.headers_mut();
        if !read {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            // Its body was not read, so nothing after it is a request.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        // What is shown changes, and is what it says that it is.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let as_said = HeaderValue::from_static("nosniff");
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, as_said);
        answer
    }
}
