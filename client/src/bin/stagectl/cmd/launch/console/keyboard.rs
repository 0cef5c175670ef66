//! Standard input, on a thread of its own: reading it cannot be given up, so nothing may wait for it.
//!
//! At a terminal, Ctrl-] leaves, also while the guest reads nothing; what is typed beyond a bound then is dropped with a bell. From a pipe
//! everything is the guest's, as fast as it reads, and the end of input is only that.
//!
//! **Invariant:** the key that leaves is never sent.

use std::{
    io::{self, Read, Write as _},
    thread,
};

use bytes::Bytes;
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

/// Ctrl-], as telnet has it.
const LEAVE: u8 = 0x1d;

/// Begins to read. At a terminal, `leave` is sent when the user wants to.
pub(super) fn start(
    input: mpsc::Sender<Bytes>,
    leave: oneshot::Sender<()>,
    at_terminal: bool,
) -> io::Result<()> {
    let read = move || {
        let stdin = io::stdin().lock();
        if at_terminal {
            if typed(stdin, &input) {
                // Nobody waits if the guest has stopped meanwhile.
                leave.send(()).ok();
            }
        } else {
            piped(stdin, &input);
        }
    };
    // It ends with the process.
    thread::Builder::new()
        .name("keyboard".to_owned())
        .spawn(read)
        .map(drop)
}

/// Reads what is typed until the key that leaves; tells whether that came.
fn typed(mut keys: impl Read, input: &mpsc::Sender<Bytes>) -> bool {
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = keys.read(&mut buffer) {
        let typed = &buffer[..read];
        let (ours, leaves) = match typed.iter().position(|key| *key == LEAVE) {
            Some(at) => (&typed[..at], true),
            None => (typed, false),
        };
        if !ours.is_empty()
            && let Err(TrySendError::Full(_)) = input.try_send(Bytes::copy_from_slice(ours))
        {
            drop(io::stderr().lock().write_all(b"\x07"));
        }
        if leaves {
            return true;
        }
    }
    false
}

/// Reads everything.
fn piped(mut pipe: impl Read, input: &mpsc::Sender<Bytes>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = pipe.read(&mut buffer) {
        if input
            .blocking_send(Bytes::copy_from_slice(&buffer[..read]))
            .is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(received: &mut mpsc::Receiver<Bytes>) -> Vec<Bytes> {
        std::iter::from_fn(|| received.try_recv().ok()).collect()
    }

    #[test]
    fn the_key_that_leaves_ends_what_is_typed() {
        let (input, mut received) = mpsc::channel(4);
        assert!(typed(&b"ls\r\x1dmore"[..], &input));
        assert_eq!(sent(&mut received), ["ls\r"]);
        assert!(typed(&b"\x1d"[..], &input));
        assert!(
            !typed(&b"\x03\x04"[..], &input),
            "other keys are the guest's"
        );
        assert_eq!(sent(&mut received), ["\x03\x04"]);
    }

    #[test]
    fn a_user_can_leave_a_guest_that_reads_nothing() {
        let (input, _held) = mpsc::channel(1);
        input.try_send("full".into()).unwrap();
        assert!(typed(&b"abc\x1d"[..], &input));
    }

    #[test]
    fn a_pipe_is_the_guests_to_the_last_byte() {
        let (input, mut received) = mpsc::channel(4);
        piped(&b"a\x1db"[..], &input);
        assert_eq!(sent(&mut received), ["a\x1db"]);
    }
}
