//! Unix sockets as listeners: those that are listened on for whoever may connect, and those of devices.
//!
//! **Invariant:** which device a peer is follows from the socket that it connected to, and from nothing else.

use std::io;

use tokio::net::{UnixListener, UnixStream};

use super::{
    accept::Accept, half_open::Source, peer::PeerInfo, permits::DevicePermits, tally::Trouble,
};
use crate::auth::DeviceId;

/// A Unix socket that is served.
#[derive(Debug)]
pub(super) struct LocalListener {
    listener: UnixListener,
    device: Option<(DeviceId, DevicePermits)>,
}

impl LocalListener {
    /// For everybody who may connect.
    pub(super) fn new(listener: UnixListener) -> Self {
        Self {
            listener,
            device: None,
        }
    }

    /// For one device.
    pub(super) fn of_device(listener: UnixListener, id: DeviceId) -> Self {
        Self {
            listener,
            device: Some((id, DevicePermits::default())),
        }
    }
}

impl Accept for LocalListener {
    type Raw = (UnixStream, PeerInfo);
    type Io = UnixStream;

    async fn accept(&self) -> io::Result<(Self::Raw, Source)> {
        let (stream, _) = self.listener.accept().await?;
        let peer = stream.peer_cred()?;
        let (uid, gid, pid) = (peer.uid(), peer.gid(), peer.pid());
        let (info, source) = match self.device {
            // Whatever users its peers are: they are in each other's way, and in nobody else's.
            Some((id, _)) => (PeerInfo::Device { id, uid, gid, pid }, Source::Device(id)),
            None => (PeerInfo::Unix { uid, gid, pid }, Source::User(uid)),
        };
        Ok(((stream, info), source))
    }

    async fn open(&self, raw: Self::Raw, _: &Trouble) -> Option<(UnixStream, PeerInfo)> {
        Some(raw)
    }

    fn device(&self) -> Option<&DevicePermits> {
        self.device.as_ref().map(|(_, permits)| permits)
    }
}
