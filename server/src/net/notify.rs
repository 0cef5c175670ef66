//! Telling a service manager that the daemon is ready (sd_notify(3)): one datagram to the socket in `NOTIFY_SOCKET`.
//!
//! **Invariant:** without a service manager this does nothing, and never fails the daemon for the lack of one.

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

use super::listen::Listen;

/// Says that the daemon serves on `listen`.
///
/// Besides `READY=1` and a `STATUS` it sends `X_STAGEPAGES_LISTEN`, the addresses separated by commas, each as in flags: by it
/// whoever starts a daemon with TCP port 0 learns the port. `X_STAGEPAGES_STATUS_LISTEN` has those of the status page, `pages`, and `X_STAGEPAGES_HEALTH` that of
/// the health service, if it has one of its own.
///
/// # Errors
/// There is a service manager, and it cannot be reached.
pub fn ready(listen: &[Listen], pages: &[Listen], health: Option<&Listen>) -> io::Result<()> {
    let words = |listen: &[Listen]| {
        let words: Vec<String> = listen.iter().map(Listen::to_string).collect();
        words.join(",")
    };
    let (addresses, pages) = (words(listen), words(pages));
    let health = health.map(|address| format!("X_STAGEPAGES_HEALTH={address}\n"));
    let health = health.unwrap_or_default();
    send(&format!(
        "READY=1\nSTATUS=serving on {addresses}\nX_STAGEPAGES_LISTEN={addresses}\nX_STAGEPAGES_STATUS_LISTEN={pages}\n{health}"
    ))
}

/// Says that the daemon drains.
///
/// # Errors
/// There is a service manager, and it cannot be reached.
pub fn stopping() -> io::Result<()> {
    send("STOPPING=1\nSTATUS=draining\n")
}

fn send(state: &str) -> io::Result<()> {
    match env::var_os("NOTIFY_SOCKET") {
        Some(socket) if !socket.is_empty() => send_to(&socket, state),
        Some(_) | None => Ok(()),
    }
}

/// A path, or after `@` a name in the abstract namespace of unix(7).
fn send_to(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(socket)?,
        _ => {
            let text = format!("NOTIFY_SOCKET {socket:?} is neither a path nor an abstract name");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
    };
    let datagram = UnixDatagram::unbound()?;
    // A manager that does not read must not hold up the daemon.
    datagram.set_nonblocking(true)?;
    datagram.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_abstract_names_are_reached() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let name = format!("@{}", path.display());
        let by_path = UnixDatagram::bind(&path).expect("binds");
        let address = SocketAddr::from_abstract_name(&name.as_bytes()[1..]).expect("is a name");
        let by_name = UnixDatagram::bind_addr(&address).expect("binds");
        for (socket, manager) in [(path.as_os_str(), by_path), (OsStr::new(&name), by_name)] {
            send_to(socket, "READY=1\n").expect("sends");
            let mut buf = [0; 64];
            let len = manager.recv(&mut buf).expect("receives");
            assert_eq!(&buf[..len], b"READY=1\n");
        }
    }

    #[test]
    fn other_transports_and_absent_managers_are_errors() {
        for socket in ["vsock:2:1234", "relative", "/nonexistent/notify"] {
            assert!(
                send_to(OsStr::new(socket), "READY=1\n").is_err(),
                "{socket}"
            );
        }
    }
}
