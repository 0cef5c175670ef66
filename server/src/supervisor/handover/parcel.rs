//! Bytes and descriptors from one program to the next, across an exec.
//!
//! They wait in a socket whose other end becomes standard input; the bytes are a memfd, the first of the descriptors. So every descriptor of the
//! supervisor stays close-on-exec for its whole life, and if the exec fails, dropping the socket takes everything back.
//!
//! **Invariant:** packing never waits, and opening ends: what comes is counted, and the sender is gone.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::sys::memfd::{MFdFlags, memfd_create};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};

/// Descriptors in one packet: SCM_MAX_FD, include/net/scm.h.
const FDS_PER_PACKET: usize = 253;
/// Packets of one parcel. Both bounds are far above what a supervisor has.
const MAX_PACKETS: usize = 64;
/// Bytes of one parcel.
const MAX_BYTES: u64 = 64 << 20;

/// The end that the next program gets.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) theirs: OwnedFd,
    // Its close is the end of the parcel, and is done by the exec.
    _ours: OwnedFd,
}

/// Packs `bytes` and duplicates of `fds`.
pub(super) fn pack(bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<Packed> {
    let mut memory = File::from(memfd_create("supervisor", MFdFlags::MFD_CLOEXEC)?);
    memory.write_all(bytes)?;
    let all: Vec<BorrowedFd<'_>> = [std::os::fd::AsFd::as_fd(&memory)]
        .into_iter()
        .chain(fds.iter().copied())
        .collect();
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_PER_PACKET))];
    for packet in all.chunks(FDS_PER_PACKET) {
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(packet)) {
            return Err(io::Error::other("too many descriptors for a packet"));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        sendmsg(&ours, &[IoSlice::new(b"+")], &mut control, flags)?;
    }
    Ok(Packed {
        theirs,
        _ours: ours,
    })
}

/// Opens a parcel; the descriptors come in their order, close-on-exec.
pub(super) fn open(socket: &OwnedFd) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut fds = Vec::new();
    let mut packets = 0;
    while receive(socket, &mut fds)? {
        packets += 1;
        if packets > MAX_PACKETS {
            return Err(io::Error::other("a parcel without an end"));
        }
    }
    if fds.is_empty() {
        return Err(io::Error::other("an empty parcel"));
    }
    let mut memory = File::from(fds.remove(0));
    memory.rewind()?;
    let mut bytes = Vec::new();
    memory.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok((bytes, fds))
}

fn receive(socket: &OwnedFd, fds: &mut Vec<OwnedFd>) -> io::Result<bool> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_PER_PACKET))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    // Without waiting: whoever sent it has become us, and who starts this by hand gets an error.
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let got = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        flags,
    )?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    if got.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other("too many open files to take over"));
    }
    Ok(got.bytes > 0)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn bytes_and_hundreds_of_descriptors_arrive_in_order() {
        let files: Vec<_> = (0..600)
            .map(|number: u32| {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&number.to_le_bytes()).unwrap();
                file
            })
            .collect();
        let fds: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        let bytes = b"state".repeat(100_000);
        let Packed { theirs, _ours } = pack(&bytes, &fds).unwrap();
        drop((_ours, files));
        let (opened, received) = open(&theirs).unwrap();
        assert_eq!(opened, bytes);
        assert_eq!(received.len(), 600);
        for (number, fd) in received.into_iter().enumerate() {
            let mut file = File::from(fd);
            file.rewind().unwrap();
            let mut content = [0; 4];
            file.read_exact(&mut content).unwrap();
            assert_eq!(usize::try_from(u32::from_le_bytes(content)), Ok(number));
        }
    }

    #[test]
    fn what_is_no_parcel_is_an_error() {
        open(&File::open("/dev/null").unwrap().into()).unwrap_err();
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        open(&one.into()).unwrap_err();
        drop(other);
    }
}
