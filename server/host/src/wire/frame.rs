//! One frame out, one frame in: the two system calls, with their bounds.
//!
//! **Invariant:** nothing is sent or returned in part.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::{MAX_FDS, MAX_FRAME, PeerCred};

/// A frame as it came.
#[derive(Debug)]
pub struct Frame {
    /// The packet, 1 byte to [`MAX_FRAME`] bytes.
    pub bytes: Vec<u8>,
    /// What came with it, at most [`MAX_FDS`], close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// Which process sent it, as the kernel saw it; only on a socket that asks for it ([`super::SeqSocket::ask_senders`]).
    pub sender: Option<PeerCred>,
}

/// Whether a call waits for the peer.
#[derive(Clone, Copy)]
pub(super) enum Wait {
    Yes,
    No,
}

/// Sends one frame on a `SOCK_SEQPACKET` socket without waiting, whatever the socket's own mode.
///
/// # Errors
/// As [`super::SeqSocket::send`]; `WouldBlock` when the peer leaves too much unread. Then nothing was sent.
pub fn try_send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    send(socket, bytes, fds, Wait::No)
}

/// Receives one frame from a `SOCK_SEQPACKET` socket without waiting, whatever the socket's own mode. `None` is the end of the connection.
///
/// # Errors
/// As [`super::SeqSocket::recv`]; `WouldBlock` when there is none.
pub fn try_recv(socket: BorrowedFd<'_>) -> io::Result<Option<Frame>> {
    recv(socket, Wait::No)
}

pub(super) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    wait: Wait,
) -> io::Result<()> {
    if bytes.is_empty() || bytes.len() > MAX_FRAME || fds.len() > MAX_FDS {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "a frame has 1 to {MAX_FRAME} bytes and at most {MAX_FDS} descriptors, not {} and {}",
                bytes.len(),
                fds.len()
            ),
        ));
    }
    let mut flags = SendFlags::NOSIGNAL;
    if matches!(wait, Wait::No) {
        flags |= SendFlags::DONTWAIT;
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let sent = retry_on_intr(|| {
        let mut control = SendAncillaryBuffer::new(&mut space);
        // A message without descriptors is EINVAL to some kernels and a waste to all. With at most MAX_FDS of them, it fits.
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(Errno::MSGSIZE);
        }
        sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)
    })?;
    if sent == bytes.len() {
        Ok(())
    } else {
        // unix_dgram_sendmsg(), net/unix/af_unix.c sends a packet whole or not at all: this is no SOCK_SEQPACKET socket.
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the socket took {sent} of {} bytes of a frame", bytes.len()),
        ))
    }
}

pub(super) fn recv(socket: BorrowedFd<'_>, wait: Wait) -> io::Result<Option<Frame>> {
    match recv_once(socket, wait) {
        // The peer closed with frames of ours unread. unix_release_sock(), net/unix/af_unix.c reports that once, ahead of the frames that the
        // peer itself had sent; they and the end are still there.
        Err(Errno::CONNRESET) => recv_once(socket, wait)?,
        other => other?,
    }
}

/// The outer error is the kernel's, the inner one is ours.
fn recv_once(socket: BorrowedFd<'_>, wait: Wait) -> Result<io::Result<Option<Frame>>, Errno> {
    let mut flags = RecvFlags::CMSG_CLOEXEC;
    if matches!(wait, Wait::No) {
        flags |= RecvFlags::DONTWAIT;
    }
    let mut bytes = vec![0; MAX_FRAME];
    let mut space =
        [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS), ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = retry_on_intr(|| {
        recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            flags,
        )
    })?;
    let mut fds = Vec::new();
    let mut sender = None;
    for message in control.drain() {
        match message {
            RecvAncillaryMessage::ScmRights(received) => fds.extend(received),
            RecvAncillaryMessage::ScmCredentials(cred) => {
                sender = Some(PeerCred {
                    pid: cred.pid.as_raw_nonzero().get(),
                    uid: cred.uid.as_raw(),
                    gid: cred.gid.as_raw(),
                });
            }
            _ => {}
        }
    }
    // The space is rounded up, so one descriptor too many may fit.
    let truncated = ReturnFlags::TRUNC | ReturnFlags::CTRUNC;
    if got.flags.intersects(truncated) || fds.len() > MAX_FDS {
        return Ok(Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "the peer sent a frame of more than {MAX_FRAME} bytes or {MAX_FDS} descriptors, or this process has no descriptor left"
            ),
        )));
    }
    if got.bytes == 0 {
        return Ok(Ok(None));
    }
    bytes.truncate(got.bytes);
    bytes.shrink_to_fit();
    Ok(Ok(Some(Frame { bytes, fds, sender })))
}
