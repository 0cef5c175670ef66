//! The transport against the kernel.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::{CodecError, MAX_FDS, MAX_FRAME, PeerCred, SeqListener, SeqSocket, decode, encode};

/// Sends past the checks of [`SeqSocket::send`].
fn send_unchecked(socket: &SeqSocket, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2 * MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(fds)));
    sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::empty(),
    )
    .unwrap();
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn a_frame_arrives_whole_with_its_descriptors_which_are_close_on_exec() {
    let (one, other) = SeqSocket::pair().unwrap();
    let (mut reader, mut writer) = io::pipe().unwrap();
    one.send(b"first", &[writer.as_fd()]).unwrap();
    one.send(&[7; MAX_FRAME], &[]).unwrap();
    writer.write_all(b"x").unwrap();
    drop(writer);

    let first = other.recv().unwrap().unwrap();
    assert_eq!(first.bytes, b"first");
    assert_eq!(first.fds.len(), 1);
    let flags = fcntl(&first.fds[0], FcntlArg::F_GETFD).unwrap();
    assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
    let second = other.recv().unwrap().unwrap();
    assert_eq!(second.bytes, [7; MAX_FRAME]);
    assert!(second.fds.is_empty());

    // The received descriptor is the pipe's last writer: the reader ends when it goes.
    drop(first);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "x");
}

#[test]
fn empty_and_oversized_frames_are_refused_before_they_are_sent() {
    let (one, other) = SeqSocket::pair().unwrap();
    let fd = other.as_fd();
    assert_eq!(kind(one.send(b"", &[])), io::ErrorKind::InvalidInput);
    assert_eq!(
        kind(one.send(&[0; MAX_FRAME + 1], &[])),
        io::ErrorKind::InvalidInput
    );
    assert_eq!(
        kind(one.send(b"x", &[fd; MAX_FDS + 1])),
        io::ErrorKind::InvalidInput
    );
    assert_eq!(kind(other.try_recv()), io::ErrorKind::WouldBlock);
}

#[test]
fn a_truncated_frame_is_invalid_data_and_closes_what_came_with_it() {
    let (one, other) = SeqSocket::pair().unwrap();
    let (mut reader, writer) = io::pipe().unwrap();
    send_unchecked(&one, &vec![1; MAX_FRAME + 1], &[writer.as_fd()]);
    send_unchecked(&one, b"fds", &[writer.as_fd(); MAX_FDS + 1]);
    send_unchecked(&one, b"more", &[writer.as_fd(); 2 * MAX_FDS]);
    one.send(b"fine", &[]).unwrap();
    drop(writer);

    for _ in 0..3 {
        assert_eq!(kind(other.recv()), io::ErrorKind::InvalidData);
    }
    assert_eq!(other.recv().unwrap().unwrap().bytes, b"fine");
    // No writer is left in either message, or this would not end.
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

#[test]
fn the_end_comes_after_every_frame_that_the_peer_sent() {
    let (one, other) = SeqSocket::pair().unwrap();
    one.send(b"last words", &[]).unwrap();
    drop(one);
    assert_eq!(other.recv().unwrap().unwrap().bytes, b"last words");
    assert!(other.recv().unwrap().is_none());
    assert!(other.recv().unwrap().is_none());
    assert_eq!(kind(other.send(b"late", &[])), io::ErrorKind::BrokenPipe);
}

#[test]
fn a_peer_that_dies_with_unread_frames_loses_none_of_its_own() {
    let (one, other) = SeqSocket::pair().unwrap();
    other.send(b"never read", &[]).unwrap();
    one.send(b"last words", &[]).unwrap();
    drop(one);
    assert_eq!(other.recv().unwrap().unwrap().bytes, b"last words");
    assert!(other.recv().unwrap().is_none());
}

#[test]
fn shutdown_ends_a_waiting_receiver() {
    let (one, _other) = SeqSocket::pair().unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| one.recv());
        one.shutdown().unwrap();
        assert!(waiter.join().unwrap().unwrap().is_none());
    });
}

#[test]
fn try_send_would_block_when_the_peer_does_not_read_and_works_again_when_it_does() {
    let (one, other) = SeqSocket::pair().unwrap();
    let mut sent = 0;
    let full = loop {
        match one.try_send(&[0; 4096], &[]) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 1 << 16, "the socket takes without end");
    };
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    for _ in 0..sent {
        assert_eq!(other.recv().unwrap().unwrap().bytes.len(), 4096);
    }
    one.try_send(b"again", &[]).unwrap();
}

#[test]
fn frames_of_concurrent_senders_do_not_mix() {
    const SENDERS: u8 = 4;
    const FRAMES: usize = 200;
    let (one, other) = SeqSocket::pair().unwrap();
    let mut seen = BTreeMap::<u8, usize>::new();
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let one = &one;
            scope.spawn(move || {
                for round in 1..=FRAMES {
                    one.send(&vec![sender; round * 17], &[]).unwrap();
                }
            });
        }
        for _ in 0..usize::from(SENDERS) * FRAMES {
            let bytes = other.recv().unwrap().unwrap().bytes;
            assert!(bytes.iter().all(|byte| *byte == bytes[0]));
            let round = seen.entry(bytes[0]).or_default();
            *round += 1;
            assert_eq!(bytes.len(), *round * 17, "in the order of their sender");
        }
    });
    assert_eq!(seen.len(), usize::from(SENDERS));
}

#[test]
fn a_listener_is_open_to_its_user_only_and_knows_who_connects() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sock");
    let listener = SeqListener::bind(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let client = SeqSocket::connect(&path).unwrap();
    let server = listener.accept().unwrap();
    client.send(b"hello", &[]).unwrap();
    assert_eq!(server.recv().unwrap().unwrap().bytes, b"hello");
    let me = PeerCred {
        pid: nix::unistd::getpid().as_raw(),
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
    };
    assert_eq!(server.peer_cred().unwrap(), me);
    assert_eq!(client.peer_cred().unwrap(), me);

    assert_eq!(kind(SeqListener::bind(&path)), io::ErrorKind::AddrInUse);
    drop(listener);
    assert_eq!(
        kind(SeqSocket::connect(&path)),
        io::ErrorKind::ConnectionRefused
    );
    assert!(path.exists(), "a listener removes nothing");
}

#[test]
fn a_full_backlog_is_an_error_and_not_a_wait() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sock");
    let _listener = SeqListener::bind(&path).unwrap();
    let mut waiting = Vec::new();
    let full = loop {
        match SeqSocket::connect(&path) {
            Ok(socket) => waiting.push(socket),
            Err(error) => break error,
        }
        assert!(waiting.len() < 1000, "the backlog has no bound");
    };
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn paths_that_no_socket_can_have_are_refused_by_name() {
    let long = format!("/tmp/{}", "a".repeat(103));
    for path in ["", long.as_str(), "/tmp/a\0b"] {
        let error = SeqListener::bind(Path::new(path)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("bytes long"), "{error}");
        assert_eq!(
            kind(SeqSocket::connect(Path::new(path))),
            io::ErrorKind::InvalidInput
        );
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Note {
    #[prost(bytes = "vec", tag = "1")]
    text: Vec<u8>,
}

#[test]
fn messages_are_bounded_both_ways() {
    let note = Note {
        text: vec![5; 1000],
    };
    assert_eq!(decode::<Note>(&encode(&note).unwrap()).unwrap(), note);

    let huge = Note {
        text: vec![5; MAX_FRAME],
    };
    assert!(matches!(encode(&huge), Err(CodecError::TooLong { .. })));
    assert!(matches!(
        decode::<Note>(&huge.text.repeat(2)),
        Err(CodecError::TooLong { .. })
    ));
    assert!(matches!(encode(&Note::default()), Err(CodecError::Empty)));
    assert!(matches!(
        decode::<Note>(&[0xff; 8]),
        Err(CodecError::Malformed(_))
    ));
}
