//! The accept loop: one per listener, the same for every kind of listener; and what a connection has to do before it counts as one.
//!
//! ```text
//!  accept ─▶ half_open (a place) ─▶ TLS, if it is TCP ─▶ HTTP/2's preface ─▶ connection (a permit)
//!            └──────────────── handshake_timeout ────────────────────┘
//! ```
//!
//! **Invariant:** no error of `accept` ends the loop, and none makes it spin; what has not begun to speak HTTP/2 takes the place of nothing
//! that has.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::{
    connection,
    half_open::{Place, Source},
    peer::PeerInfo,
    permits::DevicePermits,
    preface::Begun,
    server::Shared,
    tally::Trouble,
    tls::{self, Protocol, Tls},
};

/// A listener, and how its connections are told apart.
pub(super) trait Accept: Send + Sync + 'static {
    /// A connection as the kernel hands it out.
    type Raw: Send + 'static;
    /// The same, open for HTTP.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<(Self::Raw, Source)>> + Send;

    /// What the peer has to do first. None, if it did not; that is counted and logged.
    fn open(
        &self,
        raw: Self::Raw,
        trouble: &Trouble,
    ) -> impl Future<Output = Option<(Self::Io, PeerInfo)>> + Send;

    /// The connections of the device that is listened for, if it is for one.
    fn device(&self) -> Option<&DevicePermits> {
        None
    }
}

/// TCP, with TLS and never without.
#[derive(Debug)]
pub(super) struct TlsListener {
    pub(super) tcp: TcpListener,
    pub(super) tls: Arc<Tls>,
    /// What is spoken after the handshake.
    pub(super) protocol: Protocol,
}

impl Accept for TlsListener {
    type Raw = (TcpStream, SocketAddr);
    type Io = TlsStream<TcpStream>;

    async fn accept(&self) -> io::Result<(Self::Raw, Source)> {
        let (stream, address) = self.tcp.accept().await?;
        // Small answers are waited for; Nagle's algorithm would hold them back for the peer's delayed ACK.
        stream.set_nodelay(true)?;
        Ok(((stream, address), Source::from(address)))
    }

    async fn open(
        &self,
        (stream, address): Self::Raw,
        trouble: &Trouble,
    ) -> Option<(Self::Io, PeerInfo)> {
        let accepted = tls::accept(&self.tls, stream, address, self.protocol).await;
        accepted
            .inspect_err(|refused| trouble.handshakes.count(refused, address))
            .ok()
    }
}

/// The next connection, whatever errors come before it; none once there is an end.
pub(super) async fn next<A: Accept>(
    listener: &A,
    drain: &CancellationToken,
    kill: &CancellationToken,
) -> Option<(A::Raw, Source)> {
    let accepted = async {
        let mut trouble = Backoff::default();
        loop {
            let error = match listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => error,
            };
            if let Some(pause) = trouble.pause(&error) {
                tracing::warn!(%error, ?pause, "cannot accept connections");
                tokio::time::sleep(pause).await;
            } else {
                tracing::debug!(%error, "a connection was gone before it was accepted");
            }
        }
    };
    tokio::select! {
        biased;
        () = kill.cancelled() => None,
        () = drain.cancelled() => None,
        accepted = accepted => Some(accepted),
    }
}

/// Accepts until the server drains or is killed.
pub(super) async fn run<A: Accept>(listener: A, shared: Arc<Shared>) {
    let listener = Arc::new(listener);
    while let Some((raw, source)) = next(&*listener, &shared.drain, &shared.kill).await {
        if !shared.permits.has_room(listener.device()) {
            turn_away(&shared);
            continue;
        }
        // Here and not in its task: tasks begin in any order, and one that came last must not be the first to be driven out.
        let place = enter(source, &shared);
        let (listener, shared) = (Arc::clone(&listener), Arc::clone(&shared));
        let tasks = shared.tasks.clone();
        tasks.spawn(arrive(listener, raw, source, place, shared));
    }
}

/// The place of a new connection, and a word in the log if another one lost its own for it.
fn enter(source: Source, shared: &Shared) -> Place {
    let (place, crowded) = shared.half_open.enter(source);
    if crowded && let Some(driven_out) = shared.patience.trouble.driven_out.one_more() {
        let max_handshakes = shared.limits.max_handshakes;
        tracing::warn!(
            max_handshakes,
            driven_out,
            "connections that have not begun are at their limit; the oldest of whoever has most are closed"
        );
    }
    place
}

/// Who came before the end, and has not begun or not called, still may, for this long: what it said at once is here already, and is answered.
pub(super) const LAST_CALL: Duration = Duration::from_millis(250);

/// Returns when a connection that was accepted need not be waited for any more.
async fn too_late(shared: &Shared) {
    shared.drain.cancelled().await;
    tokio::time::sleep(LAST_CALL).await;
}

/// Waits until the peer of a new connection speaks HTTP/2, and serves it.
async fn arrive<A: Accept>(
    listener: Arc<A>,
    raw: A::Raw,
    source: Source,
    place: Place,
    shared: Arc<Shared>,
) {
    let trouble = &shared.patience.trouble;
    let begin = async {
        let (io, peer) = listener.open(raw, trouble).await?;
        match Begun::read(io).await {
            Ok(begun) => Some((begun, peer)),
            Err(error) => {
                tracing::debug!(%peer, %error, "a connection ended before it began");
                None
            }
        }
    };
    let begun = tokio::select! {
        biased;
        () = shared.kill.cancelled() => return,
        () = too_late(&shared) => return,
        () = place.driven_out() => return,
        begun = tokio::time::timeout(shared.limits.handshake_timeout, begin) => begun,
    };
    drop(place);
    match begun {
        Ok(Some((io, peer))) => match shared.permits.take(listener.device()) {
            Some(permit) => connection::serve(io, peer, shared, permit).await,
            None => turn_away(&shared),
        },
        Ok(None) => {}
        Err(_elapsed) => {
            if let Some(silent) = trouble.silent.one_more() {
                tracing::warn!(
                    ?source,
                    silent,
                    "connections are closed that do not begin to speak in time"
                );
            }
        }
    }
}

/// Reports a connection beyond the limit.
fn turn_away(shared: &Shared) {
    if let Some(turned_away) = shared.patience.trouble.turned_away.one_more() {
        let max_connections = shared.limits.max_connections;
        tracing::warn!(
            max_connections,
            turned_away,
            "connections are at their limit"
        );
    }
}

/// How long to wait after an error of `accept`.
#[derive(Debug, Default)]
struct Backoff(Option<Duration>);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LAST: Duration = Duration::from_secs(1);

    /// None where the error concerns the one connection (accept(2), "Error handling"). Otherwise the machine lacks something
    /// (EMFILE, ENFILE, ENOBUFS, ENOMEM) that connections about to end will give back.
    fn pause(&mut self, error: &io::Error) -> Option<Duration> {
        use io::ErrorKind::{
            ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
            NetworkUnreachable, NotConnected,
        };
        if matches!(
            error.kind(),
            ConnectionAborted
                | ConnectionReset
                | HostUnreachable
                | Interrupted
                | NetworkDown
                | NetworkUnreachable
                | NotConnected
        ) {
            return None;
        }
        let pause = self
            .0
            .map_or(Self::FIRST, |last| (last * 2).min(Self::LAST));
        self.0 = Some(pause);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn only_a_lack_of_resources_is_waited_out_and_never_for_long() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.pause(&Errno::ECONNABORTED.into()), None);
        let pauses: Vec<_> = (0..8)
            .map_while(|_| backoff.pause(&Errno::EMFILE.into()))
            .map(|pause| pause.as_millis())
            .collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000, 1000]);
    }
}
