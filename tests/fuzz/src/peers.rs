//! The daemon's protocols with its hosts and its supervisor, each side hearing bytes of the other.
//!
//! An input is frames: two bytes with the length of each before it, as far as they go.

use std::{
    os::fd::AsFd as _,
    sync::{Arc, Mutex},
};

use stagepages_host::{serve, wire::SeqSocket};
use stagepages_server::{
    daemon::{HostLink, supervisor_link::SupervisorLink},
    supervisor,
};
use tokio::runtime::{Builder, Runtime};

/// Frames of one input: fewer than a socket holds that nobody reads.
const FRAMES: usize = 16;

/// Longest frame of an input; the protocol's own bound is 64 KiB.
const FRAME: usize = 4096;

/// A launch host hears a daemon.
pub fn daemon_to_host(bytes: &[u8]) {
    let mut host = serve::fuzzing::Ears::default();
    let mut installed = 0;
    for frame in frames(bytes) {
        // Refusals are answers.
        host.hear(frame).unwrap_or_default();
        let now = host.installed_pages();
        assert!(
            now >= installed,
            "pages were taken back: {installed}, then {now}"
        );
        installed = now;
    }
}

/// A daemon hears a launch host.
pub fn host_to_daemon(bytes: &[u8]) {
    let (ours, theirs) = SeqSocket::pair().expect("a pair of sockets");
    send(&theirs, bytes);
    let told = Arc::new(Mutex::new(0));
    runtime().block_on(async {
        let count = Arc::clone(&told);
        let link = HostLink::start(ours, move |_told| *count.lock().expect("not poisoned") += 1);
        let link = link.expect("a socket that can be waited for");
        drop(theirs);
        // It ends: with the last frame, or before it.
        link.lost().await;
    });
    // No frame tells more than a snapshot, or the last of a farewell and that it was the last.
    assert!(*told.lock().expect("not poisoned") <= 2 * FRAMES);
}

/// A supervisor hears a daemon.
pub fn daemon_to_supervisor(bytes: &[u8]) {
    let (ours, theirs) = SeqSocket::pair().expect("a pair of sockets");
    send(&theirs, bytes);
    drop(theirs);
    assert!(supervisor::fuzzing::hear(ours) <= FRAMES);
}

/// A daemon hears a supervisor.
pub fn supervisor_to_daemon(bytes: &[u8]) {
    let (ours, theirs) = SeqSocket::pair().expect("a pair of sockets");
    send(&theirs, bytes);
    runtime().block_on(async {
        // Its hello is not read: sockets hold more than that.
        end_of_words(&theirs);
        if let Ok((link, _welcome)) = SupervisorLink::start(ours).await {
            link.closed().await;
        }
    });
}

/// Nothing more comes from here; what the other side says still finds room.
fn end_of_words(socket: &SeqSocket) {
    rustix::net::shutdown(socket.as_fd(), rustix::net::Shutdown::Write).expect("an open socket");
}

fn send(socket: &SeqSocket, bytes: &[u8]) {
    for frame in frames(bytes) {
        socket.try_send(frame, &[]).expect("room for a few frames");
    }
}

fn frames(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes(*length)).clamp(1, FRAME);
        let (frame, behind) = rest.split_at(length.min(rest.len()));
        bytes = behind;
        (!frame.is_empty()).then_some(frame)
    })
    .take(FRAMES)
}

fn runtime() -> Runtime {
    let mut runtime = Builder::new_current_thread();
    runtime.enable_all().build().expect("a runtime")
}
