//! The first words: what lives, and what ended, before this daemon was there.
//!
//! **Invariant:** it ends: the supervisor's frames are counted, and the caller bounds the time.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use stagepages_host::wire;

use super::LinkError;
use super::shared::{next_frame, unexpected};
use crate::daemon::aio::AsyncSeq;
use crate::supervisor::proto::{
    EventBody, Hello, HostExited, PROTOCOL_VERSION, Request, RequestBody,
};
use crate::supervisor::{HostExit, HostId, HostKind, SocketName};

/// Frames of one welcome; far more than a supervisor has hosts.
const MAX_WELCOMES: usize = 1024;

/// A whole welcome.
pub(super) struct Told {
    pub(super) epoch: u64,
    pub(super) host_dir: PathBuf,
    pub(super) hosts: Vec<(HostId, u32, HostKind)>,
    pub(super) exits: Vec<(HostId, HostExit)>,
    pub(super) sockets: Vec<(SocketName, OwnedFd)>,
}

/// Says hello, and reads the welcome.
pub(super) async fn greet(socket: &AsyncSeq) -> Result<Told, LinkError> {
    let hello = RequestBody::Hello(Hello {
        protocol_version: PROTOCOL_VERSION,
    });
    let frame = wire::encode(&Request { body: Some(hello) })?;
    socket
        .send(&frame, &[])
        .await
        .map_err(LinkError::NoSocket)?;
    let mut told = Told {
        epoch: 0,
        host_dir: PathBuf::new(),
        hosts: Vec::new(),
        exits: Vec::new(),
        sockets: Vec::new(),
    };
    for _ in 0..MAX_WELCOMES {
        let (EventBody::Welcome(welcome), fds) = next_frame(socket).await? else {
            return Err(LinkError::Unexpected);
        };
        if welcome.protocol_version != PROTOCOL_VERSION {
            return Err(LinkError::Unexpected);
        }
        if welcome.sockets.len() != fds.len() {
            return Err(LinkError::Unexpected);
        }
        for (name, fd) in welcome.sockets.iter().zip(fds) {
            let name = name.parse().map_err(|()| LinkError::Unexpected)?;
            told.sockets.push((name, fd));
        }
        told.epoch = welcome.epoch;
        told.host_dir = OsStr::from_bytes(&welcome.host_dir).into();
        for host in welcome.hosts {
            let kind = HostKind::try_from(host.kind).map_err(unexpected)?;
            let id = host.id.parse().map_err(unexpected)?;
            told.hosts.push((id, host.pid, kind));
        }
        for exit in &welcome.exits {
            let exit = HostExited::to_exit(exit).ok_or(LinkError::Unexpected)?;
            told.exits.push(exit);
        }
        if !welcome.more {
            return Ok(told);
        }
    }
    Err(LinkError::Unexpected)
}
