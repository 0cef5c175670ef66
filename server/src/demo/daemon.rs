//! The daemon inside the demo's service: where it serves, how it is killed, and how one waits for the next.
//!
//! **Invariant:** only the process that listens on the demo's own socket is killed; the next one is waited for with a bound.

use std::{io, os::unix::net, path::PathBuf, time::Duration};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use stagepages_client::Endpoint;
use tokio::{
    net::{UnixDatagram, UnixStream},
    time::timeout,
};

/// For the daemon to get ready.
pub(super) const READY: Duration = Duration::from_secs(30);

/// The daemon, whichever process it is.
pub(super) struct Daemon {
    socket: PathBuf,
    /// Where each daemon says that it is ready.
    notify: UnixDatagram,
}

impl Daemon {
    /// The daemon that serves on `socket` and says so to `notify`.
    ///
    /// # Errors
    /// There is no tokio runtime around this, or it cannot watch `notify`.
    pub(super) fn new(socket: PathBuf, notify: net::UnixDatagram) -> io::Result<Self> {
        notify.set_nonblocking(true)?;
        let notify = UnixDatagram::from_std(notify)?;
        Ok(Self { socket, notify })
    }

    /// Where its API is.
    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.socket.clone())
    }

    /// Its process: the one that called listen(2), which is whose credentials unix(7) gives a peer.
    pub(super) async fn pid(&self) -> anyhow::Result<Pid> {
        let asked = async { UnixStream::connect(&self.socket).await?.peer_cred() };
        let credentials = asked.await.context("asking whose socket it is")?;
        let pid = credentials.pid().and_then(Pid::from_raw);
        pid.context("the kernel should say which process listens, and does not")
    }

    /// Kills it with SIGKILL, and returns when another says that it is ready; the process id of what was killed.
    pub(super) async fn kill(&self) -> anyhow::Result<Pid> {
        let killed = self.pid().await?;
        kill_process(killed, Signal::KILL).context("killing the daemon")?;
        let ready = timeout(READY, self.ready()).await;
        ready
            .with_context(|| format!("no other daemon is ready after {} s", READY.as_secs()))??;
        Ok(killed)
    }

    async fn ready(&self) -> io::Result<()> {
        let mut message = [0; 4096];
        loop {
            let length = self.notify.recv(&mut message).await?;
            if says_ready(&message[..length]) {
                return Ok(());
            }
        }
    }
}

/// Whether a message of the readiness protocol, sd_notify(3), which `net::notify` speaks, is the word that is waited for.
pub(super) fn says_ready(message: &[u8]) -> bool {
    message
        .split(|byte| *byte == b'\n')
        .any(|line| line == b"READY=1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_of_its_own_says_ready() {
        assert!(says_ready(b"READY=1\nSTATUS=serving\n"));
        assert!(says_ready(b"STATUS=serving\nREADY=1"));
        for other in [&b""[..], b"READY=0\n", b"STATUS=READY=1\n", b"READY=10\n"] {
            assert!(!says_ready(other), "{}", other.escape_ascii());
        }
    }
}
