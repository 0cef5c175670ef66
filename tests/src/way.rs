//! The two ways to the daemon, for what has to be the same on both.
use std::fmt;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use crate::daemon::Daemon;
use crate::tls::{tls_config, tls_connect};

/// A way to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Its Unix socket.
    Unix,
    /// Its TCP port, by mutual TLS.
    Tcp,
}

/// A connection, whatever it is made of.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Io for T {}

impl Way {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Unix, Self::Tcp];

    /// Connects; by TCP with the client's certificate that every test has without asking.
    ///
    /// # Panics
    /// If the daemon does not take it.
    pub async fn connect(self, daemon: &Daemon) -> Box<dyn Io> {
        match self {
            Self::Unix => {
                let stream = UnixStream::connect(daemon.socket()).await;
                Box::new(stream.expect("the daemon accepts"))
            }
            Self::Tcp => {
                let pki = daemon.pki();
                let config = tls_config(&pki.get("ca.crt"), Some(&pki.client()));
                let stream = tls_connect(daemon.tcp(), config).await;
                Box::new(stream.expect("the daemon accepts"))
            }
        }
    }
}
