//! The service manager's end of the readiness protocol (`sd_notify(3)`), so that no test guesses when a daemon is up.
//!
//! **Invariant:** a daemon counts as started only by its own word.
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a ready daemon listens.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    pub(crate) unix: Vec<PathBuf>,
    pub(crate) tcp: Vec<SocketAddr>,
    /// Of the status page.
    pub(crate) status_unix: Vec<PathBuf>,
    pub(crate) status_tcp: Vec<SocketAddr>,
    pub(crate) health: Option<SocketAddr>,
}

/// The datagram socket that `NOTIFY_SOCKET` names.
#[derive(Debug)]
pub(crate) struct NotifySocket(UnixDatagram);

impl NotifySocket {
    pub(crate) fn bind(path: &Path) -> Self {
        let socket =
            UnixDatagram::bind(path).expect("the notify socket binds in a fresh directory");
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a timeout above zero");
        Self(socket)
    }

    /// Takes no notice of what came until now.
    pub(crate) fn forget(&self) {
        self.0.set_nonblocking(true).expect("a socket");
        while self.0.recv(&mut [0; 1]).is_ok() {}
        self.0.set_nonblocking(false).expect("a socket");
    }

    /// The next readiness message, if it is there.
    pub(crate) fn try_receive(&self) -> Option<Ready> {
        self.0.set_nonblocking(true).expect("a socket");
        let ready = self.receive();
        self.0.set_nonblocking(false).expect("a socket");
        ready
    }

    /// The next readiness message, or nothing within a tenth of a second.
    pub(crate) fn receive(&self) -> Option<Ready> {
        let mut buffer = [0; 4096];
        match self.0.recv(&mut buffer) {
            Ok(length) => {
                parse(std::str::from_utf8(&buffer[..length]).expect("notify messages are text"))
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                None
            }
            Err(error) => panic!("reading the notify socket: {error}"),
        }
    }
}

fn parse(message: &str) -> Option<Ready> {
    if !message.lines().any(|line| line == "READY=1") {
        return None;
    }
    let said = |name| message.lines().find_map(|line| line.strip_prefix(name));
    let listen = said("X_STAGEPAGES_LISTEN=").expect("a ready daemon says where it listens");
    let (unix, tcp) = places(listen);
    let (status_unix, status_tcp) = places(said("X_STAGEPAGES_STATUS_LISTEN=").unwrap_or(""));
    let (_, health) = places(said("X_STAGEPAGES_HEALTH=").unwrap_or(""));
    Some(Ready {
        unix,
        tcp,
        status_unix,
        status_tcp,
        health: health.first().copied(),
    })
}

fn places(listen: &str) -> (Vec<PathBuf>, Vec<SocketAddr>) {
    let (mut unix, mut tcp) = (Vec::new(), Vec::new());
    for place in listen.split(',').filter(|place| !place.is_empty()) {
        match place.split_once(':').expect("unix:PATH or tcp:HOST:PORT") {
            ("unix", path) => unix.push(path.into()),
            ("tcp", address) => tcp.push(address.parse().expect("a socket address")),
            (other, _) => panic!("a daemon that listens on {other:?}"),
        }
    }
    (unix, tcp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_message_says_where() {
        let message = "READY=1\nSTATUS=serving\nX_STAGEPAGES_LISTEN=unix:/tmp/a/api.sock,tcp:127.0.0.1:80,tcp:[::1]:81";
        let ready = parse(message).unwrap();
        assert_eq!(ready.unix, [PathBuf::from("/tmp/a/api.sock")]);
        assert_eq!(
            ready.tcp,
            ["127.0.0.1:80".parse().unwrap(), "[::1]:81".parse().unwrap()]
        );
    }

    #[test]
    fn other_messages_are_not_readiness() {
        assert!(parse("STOPPING=1").is_none() && parse("STATUS=READY=1").is_none());
    }
}
