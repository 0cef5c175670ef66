//! Passing on what the guest writes to one daemon, on a thread of its own.
//!
//! Messages go out only while less than a quarter of the socket's buffer is unread, which is when it polls as writable (`unix_writable()`,
//! net/unix/af_unix.c). So however much the guest writes, there is room for answers, and the launch thread does not wait behind the console.
//!
//! **Invariant:** a daemon that does not read costs this thread and nothing else.

use std::{io, os::fd::AsFd as _, sync::Arc, thread};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::connection::{Connection, STACK};
use crate::{
    console::{Console, Cursor},
    protocol::Message,
};

/// How often the end of the guest is looked for while the daemon does not read, in milliseconds.
const LOOK_EVERY: u16 = 200;

/// Tells `connection` everything from `offset` on, until it hangs up or the guest has written everything. It has joined the console.
///
/// # Errors
/// There is no thread for it.
pub(super) fn start(
    console: &Arc<Console>,
    connection: &Connection,
    offset: u64,
) -> io::Result<()> {
    let place = Place(Arc::clone(console));
    let connection = connection.clone();
    thread::Builder::new()
        .name("console".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            let cursor = Cursor::new(offset);
            if let Err(error) = pass_on(&place.0, &connection, cursor) {
                tracing::debug!(%error, "a daemon hears no more of the console");
            }
        })
        .map(drop)
}

/// A listener's place, which it leaves however it ends.
struct Place(Arc<Console>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.leave();
    }
}

fn pass_on(console: &Console, connection: &Connection, mut cursor: Cursor) -> io::Result<()> {
    while console.wait(&cursor, || connection.is_closed()) {
        if !writable(connection)? {
            continue;
        }
        let before = cursor;
        let Some(message) = console.next(&mut cursor) else {
            continue;
        };
        match connection.try_send(Message::Console(message)) {
            Ok(()) => {}
            // Answers came in between. What is told later begins where this one did.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => cursor = before,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits a little for room in the socket.
fn writable(connection: &Connection) -> io::Result<bool> {
    let mut socket = [PollFd::new(connection.socket().as_fd(), PollFlags::POLLOUT)];
    Ok(poll(&mut socket, PollTimeout::from(LOOK_EVERY))? > 0)
}
