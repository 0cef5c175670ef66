//! The accept loop: one per listener, the same for every kind of listener.
//!
//! **Invariant:** no error of `accept` ends the loop, and none makes it spin.

use std::{future::Future, io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

use super::{connection, peer::PeerInfo, server::Shared};

/// A listener, and how its connections are told apart.
pub(super) trait Accept: Send + 'static {
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<(Self::Io, PeerInfo)>> + Send;
}

impl Accept for UnixListener {
    type Io = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, PeerInfo)> {
        let (stream, _) = Self::accept(self).await?;
        let peer = stream.peer_cred()?;
        let peer = PeerInfo::Unix {
            uid: peer.uid(),
            gid: peer.gid(),
            pid: peer.pid(),
        };
        Ok((stream, peer))
    }
}

impl Accept for TcpListener {
    type Io = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, PeerInfo)> {
        let (stream, address) = Self::accept(self).await?;
        // Small answers are waited for; Nagle's algorithm would hold them back for the peer's delayed ACK.
        stream.set_nodelay(true)?;
        Ok((stream, PeerInfo::Tcp(address)))
    }
}

/// Accepts until the server drains or is killed.
pub(super) async fn run<A: Accept>(listener: A, shared: Arc<Shared>) {
    let mut trouble = Backoff::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.kill.cancelled() => return,
            () = shared.drain.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((io, peer)) => {
                trouble = Backoff::default();
                if let Ok(permit) = Arc::clone(&shared.permits).try_acquire_owned() {
                    let connection = connection::serve(io, peer, Arc::clone(&shared), permit);
                    shared.tasks.spawn(connection);
                } else {
                    turn_away(&shared);
                }
            }
            Err(error) => {
                let Some(pause) = trouble.pause(&error) else {
                    tracing::debug!(%error, "a connection was gone before it was accepted");
                    continue;
                };
                tracing::warn!(%error, ?pause, "cannot accept connections");
                tokio::select! {
                    () = shared.kill.cancelled() => return,
                    () = shared.drain.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
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
