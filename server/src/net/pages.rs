//! What the status page takes of this module: its sockets, its TLS, and who its peers are.
//!
//! **Invariant:** a page's sockets are made, and its peers are known, as those of the API are.

use std::{io, net::SocketAddr, path::Path};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::server::TlsStream;

pub(crate) use super::unix::SocketFile;
use super::{
    Listen, PeerInfo, Tls,
    server::{self, BindError},
    tls::{self, Protocol},
    unix::{self, Access},
};

/// Binds a Unix socket.
pub(crate) fn unix(path: &Path, access: Access) -> Result<(UnixListener, SocketFile), BindError> {
    Ok(unix::serve(path, access)?)
}

/// Binds a TCP port; its connections are to be opened by [`open`].
pub(crate) fn tcp(wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    server::bind_tcp(wanted).map_err(|source| BindError::Tcp {
        address: Listen::Tcp(wanted),
        source,
    })
}

/// Who has connected to a Unix socket.
pub(crate) fn peer(stream: &UnixStream) -> io::Result<PeerInfo> {
    let peer = stream.peer_cred()?;
    Ok(PeerInfo::Unix {
        uid: peer.uid(),
        gid: peer.gid(),
        pid: peer.pid(),
    })
}

/// Makes the handshake with a browser; none if it is refused.
pub(crate) async fn open(
    tls: &Tls,
    stream: TcpStream,
    address: SocketAddr,
) -> Option<(TlsStream<TcpStream>, PeerInfo)> {
    let opened = tls::accept(tls, stream, address, Protocol::Http1).await;
    opened
        .inspect_err(|refused| {
            tracing::debug!(peer = %address, ?refused, "a handshake of the status page failed");
        })
        .ok()
}
