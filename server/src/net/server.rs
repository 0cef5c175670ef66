//! The server as a whole: bound first, so that every address is known to work, then served until told to stop.
//!
//! **Invariant:** when `serve` has returned, no connection and no call of it goes on; when it was dropped, each ends as soon as the
//! runtime looks at it next.

use std::{os::fd::OwnedFd, path::Path, sync::Arc};

use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

use super::{
    accept,
    bound::{BindError, Bound, Listener, Reach},
    budget::Budget,
    half_open::HalfOpen,
    health::PlainListener,
    limits::Limits,
    listen::Listen,
    load::Load,
    local::LocalListener,
    permits::Permits,
    shares::TooSmall,
    stall::Patience,
    tls::{Protocol, Tls},
    unix::{self, Access, Lock, UnixError},
};
use crate::{
    audit::Audit,
    auth::{DeviceId, Gatekeeper},
    metrics::Metrics,
    trace::Follow,
};

/// A server that is bound to its addresses and does not serve yet.
#[derive(Debug)]
pub struct Server {
    bound: Bound,
    tls: Option<Arc<Tls>>,
    metrics: Metrics,
}

/// Who may connect to a device's socket, as far as its own mode is concerned.
const FOR_ALL: Access = Access {
    mode: 0o666,
    group: None,
};

/// What all connections of a server share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) routes: Routes,
    /// Who may call what.
    pub(super) keeper: Gatekeeper,
    pub(super) limits: Limits,
    pub(super) permits: Permits,
    pub(super) half_open: Arc<HalfOpen>,
    /// What bounds calls.
    pub(super) patience: Patience,
    /// Where refused calls are told.
    pub(super) audit: Audit,
    /// How calls are followed.
    pub(super) follow: Arc<Follow>,
    /// Where calls are counted.
    pub(super) metrics: Metrics,
    /// Counts listeners, connections and calls.
    pub(super) tasks: TaskTracker,
    /// Finish what runs, take nothing new.
    pub(super) drain: CancellationToken,
    /// Stop at once.
    pub(super) kill: CancellationToken,
}

impl Server {
    /// Binds all addresses, or none; those of TCP with `tls`, which the server makes follow its files. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The first address that cannot be served on; sockets that were bound before it are removed again.
    pub fn bind(
        addresses: &[Listen],
        access: Access,
        tls: Option<&Arc<Tls>>,
    ) -> Result<Self, BindError> {
        let reach = Reach::Proven(tls);
        Ok(Self {
            bound: Bound::bind(addresses, access, reach, Protocol::Http2)?,
            tls: tls.cloned(),
            metrics: Metrics::new(0),
        })
    }

    /// Serves on a listening socket that somebody else bound too; TCP with the server's TLS. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// It cannot be served on.
    pub fn add(&mut self, socket: OwnedFd) -> Result<(), BindError> {
        let reach = Reach::Proven(self.tls.as_ref());
        self.bound.add(socket, reach, Protocol::Http2)
    }

    /// A server on one TCP socket, without TLS. Not for the API.
    pub(super) fn plain(tcp: TcpListener, at: Listen) -> Self {
        let mut bound = Bound::default();
        bound.push(Listener::Plain(PlainListener(tcp)), at);
        Self {
            bound,
            tls: None,
            metrics: Metrics::new(0),
        }
    }

    /// Has its calls counted there. Otherwise nobody sees what is counted.
    pub fn count_in(&mut self, metrics: Metrics) {
        self.metrics = metrics;
    }

    /// Binds the socket of a device too, which is for every user: who reaches it is that device. It is none of the addresses. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// It cannot be served.
    pub fn bind_device(&mut self, id: DeviceId, path: &Path, lock: &Lock) -> Result<(), UnixError> {
        let (listener, file) = unix::serve_under(path, FOR_ALL, lock.clone())?;
        let listener = LocalListener::of_device(listener, id);
        let listener = Listener::Unix(listener, Some(file));
        self.bound.listeners.push(listener);
        Ok(())
    }

    /// The addresses as they are: a TCP port 0 has become the port that the kernel chose.
    #[must_use]
    pub fn local_addrs(&self) -> &[Listen] {
        &self.bound.addresses
    }

    /// Serves until `drain` is cancelled and every call has ended.
    ///
    /// Then no connection is accepted any more, Unix sockets are gone from the file system, peers are told to go away (GOAWAY),
    /// and calls in flight finish. A caller that does not want to wait for them forever drops this future: that ends every
    /// connection and call at once.
    ///
    /// # Errors
    /// At once, if the receive budget does not suffice for the other limits.
    pub async fn serve(
        self,
        routes: Routes,
        keeper: Gatekeeper,
        limits: Limits,
        audit: Audit,
        follow: Arc<Follow>,
        drain: CancellationToken,
    ) -> Result<(), TooSmall> {
        let patience = Patience {
            stall_timeout: limits.stall_timeout,
            budget: Arc::new(Budget::new(&limits)?),
            trouble: Arc::default(),
        };
        let kill = CancellationToken::new();
        let _kill_when_dropped = kill.clone().drop_guard();
        let shared = Arc::new(Shared {
            routes: routes.prepare(),
            keeper,
            permits: Permits::new(limits.max_connections),
            half_open: Arc::new(HalfOpen::new(limits.max_handshakes, limits.max_handshakes)),
            patience,
            audit,
            follow,
            metrics: self.metrics,
            limits,
            tasks: TaskTracker::new(),
            drain,
            kill,
        });
        shared.metrics.read_load(Load::of(&shared));
        if let Some(tls) = self.tls {
            let shared = Arc::clone(&shared);
            shared.tasks.clone().spawn(async move {
                tokio::select! {
                    () = shared.kill.cancelled() => {}
                    () = shared.drain.cancelled() => {}
                    () = tls.follow() => {}
                }
            });
        }
        for listener in self.bound.listeners {
            let tasks = shared.tasks.clone();
            match listener {
                Listener::Unix(listener, file) => {
                    let accepting = accept::run(listener, Arc::clone(&shared));
                    tasks.spawn(async move {
                        accepting.await;
                        drop(file);
                    });
                }
                Listener::Tls(listener) => {
                    tasks.spawn(accept::run(listener, Arc::clone(&shared)));
                }
                Listener::Plain(listener) => {
                    tasks.spawn(accept::run(listener, Arc::clone(&shared)));
                }
            }
        }
        shared.drain.cancelled().await;
        shared.tasks.close();
        shared.tasks.wait().await;
        Ok(())
    }
}
