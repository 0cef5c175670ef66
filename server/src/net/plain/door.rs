//! How a connection for plain pages comes in, and who it is then.
//!
//! **Invariant:** nobody is known for whom the kernel does not vouch.

use std::{future::Future, io, net::SocketAddr};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::{Visitor, patient::Stream};
use crate::net::{half_open::Source, peer::PeerInfo};

/// A listener.
pub(super) trait Door: Send + Sync + 'static {
    /// A connection as the kernel hands it out.
    type Raw: Send + 'static;
    /// The same, open for HTTP.
    type Io: Stream;

    fn accept(&self) -> impl Future<Output = io::Result<(Self::Raw, Source)>> + Send;

    /// Who came.
    fn open(raw: Self::Raw) -> (Self::Io, Visitor);
}

impl Door for UnixListener {
    type Raw = (UnixStream, PeerInfo);
    type Io = UnixStream;

    async fn accept(&self) -> io::Result<(Self::Raw, Source)> {
        let (stream, _) = Self::accept(self).await?;
        let peer = stream.peer_cred()?;
        let info = PeerInfo::Unix {
            uid: peer.uid(),
            gid: peer.gid(),
            pid: peer.pid(),
        };
        Ok(((stream, info), Source::User(peer.uid())))
    }

    fn open((io, peer): Self::Raw) -> (UnixStream, Visitor) {
        (io, Visitor::Known(peer))
    }
}

impl Door for TcpListener {
    type Raw = (TcpStream, SocketAddr);
    type Io = TcpStream;

    async fn accept(&self) -> io::Result<(Self::Raw, Source)> {
        let (stream, address) = Self::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok(((stream, address), Source::from(address)))
    }

    fn open((io, address): Self::Raw) -> (TcpStream, Visitor) {
        (io, Visitor::Anybody(address))
    }
}
