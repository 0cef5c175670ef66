//! Listening sockets that a service manager made (sd_listen_fds(3), socket activation).
//!
//! They are the supervisor's for as long as it lives, over each daemon's death and over its own upgrade, and each daemon gets the same: whoever connects meanwhile waits
//! in the socket's backlog and is refused by nobody. What they are is looked at before anything is started.
//!
//! **Invariant:** a socket that exists here listens, and may be served as its name says.

use std::{
    env, fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    str::FromStr,
    sync::Arc,
};

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;
use stagepages_host::wire::MAX_FDS;

use crate::rpc::status::printable;

/// The variables by which sockets are given. They are about this process alone, and its children do not get them.
const VARIABLES: [&str; 4] = [
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
];

/// What a socket is for: its `FileDescriptorName=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketName {
    /// The API, in the place of the `unix:` addresses of `listen`.
    Api,
    /// The health service, in the place of `health_listen`.
    Health,
}

/// A socket, and what it is for.
#[derive(Debug)]
struct Socket {
    name: SocketName,
    fd: OwnedFd,
}

/// All that were given. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Sockets(Arc<[Socket]>);

/// Why a socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// More than are passed on at once.
    #[error("{0} sockets are given (LISTEN_FDS); at most {MAX_FDS} are taken")]
    TooMany(usize),
    /// It is named otherwise, or not at all.
    #[error(
        "the socket in descriptor {fd} is named {name:?} (LISTEN_FDNAMES); name it api or health, with systemd by FileDescriptorName="
    )]
    Name {
        /// The descriptor.
        fd: usize,
        /// Its name.
        name: String,
    },
    /// Neither of the two kinds.
    #[error(
        "the socket {name} in descriptor {fd} is neither a stream socket of unix(7) nor of TCP ({source}); with systemd write ListenStream="
    )]
    Kind {
        /// The descriptor.
        fd: usize,
        /// What it is for.
        name: SocketName,
        /// What is known of it.
        source: io::Error,
    },
    /// A connection, not a listener.
    #[error("the socket {name} in descriptor {fd} does not listen; with systemd write Accept=no")]
    NotListening {
        /// The descriptor.
        fd: usize,
        /// What it is for.
        name: SocketName,
    },
    /// TCP, and nothing to prove who serves there and who calls.
    #[error(
        "the socket api in descriptor {fd} is TCP, which is served with mutual TLS only; set tls_cert, tls_key and tls_client_ca, or make it a Unix socket"
    )]
    NoTls {
        /// The descriptor.
        fd: usize,
    },
    /// What nobody probes.
    #[error("the socket health in descriptor {fd} is no TCP socket; probes dial an IP address")]
    HealthNotTcp {
        /// The descriptor.
        fd: usize,
    },
    /// One is enough.
    #[error("two sockets are named health; give one")]
    TwoHealths,
}

impl Sockets {
    /// Takes those that this process was started with; none without a service manager. MUST be called while there is one thread, and once.
    ///
    /// # Errors
    /// One of them cannot be served.
    pub fn take(tls: bool) -> Result<Self, ActivationError> {
        // Not taken out of the environment by whoever reads the others.
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut given = ListenFd::from_env();
        if given.len() > MAX_FDS {
            return Err(ActivationError::TooMany(given.len()));
        }
        let mut names = names.split(':');
        let mut sockets: Vec<Socket> = Vec::new();
        for index in 0..given.len() {
            let name = names.next().unwrap_or_default();
            let socket = look(&mut given, index, name, tls)?;
            let is_health = |socket: &Socket| socket.name == SocketName::Health;
            if is_health(&socket) && sockets.iter().any(is_health) {
                return Err(ActivationError::TwoHealths);
            }
            sockets.push(socket);
        }
        Ok(Self(sockets.into()))
    }

    /// Those that an earlier build of this supervisor had.
    pub(super) fn resume(sockets: Vec<(SocketName, OwnedFd)>) -> Self {
        let sockets = sockets.into_iter();
        Self(sockets.map(|(name, fd)| Socket { name, fd }).collect())
    }

    /// What each is for.
    pub(super) fn names(&self) -> impl Iterator<Item = SocketName> {
        self.0.iter().map(|socket| socket.name)
    }

    /// The descriptors, in the same order.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|socket| socket.fd.as_fd())
    }
}

/// Whether a variable of the environment is nothing for children.
pub(super) fn is_own_variable(name: &std::ffi::OsStr) -> bool {
    VARIABLES.iter().any(|own| name == *own)
}

fn look(
    given: &mut ListenFd,
    index: usize,
    name: &str,
    tls: bool,
) -> Result<Socket, ActivationError> {
    // For messages: systemd begins with 3.
    let fd = index + 3;
    let name: SocketName = name.parse().map_err(|()| ActivationError::Name {
        fd,
        name: printable(name, 100),
    })?;
    let kind = |source| ActivationError::Kind { fd, name, source };
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let (socket, is_tcp): (OwnedFd, bool) = match given.take_unix_listener(index) {
        Ok(unix) => (unix.ok_or_else(|| kind(gone()))?.into(), false),
        Err(_other) => {
            let tcp = given.take_tcp_listener(index).map_err(kind)?;
            (tcp.ok_or_else(|| kind(gone()))?.into(), true)
        }
    };
    match (name, is_tcp) {
        (SocketName::Api, true) if !tls => return Err(ActivationError::NoTls { fd }),
        (SocketName::Health, false) => return Err(ActivationError::HealthNotTcp { fd }),
        (SocketName::Api, _) | (SocketName::Health, true) => {}
    }
    if !socket_acceptconn(&socket).map_err(|errno| kind(errno.into()))? {
        return Err(ActivationError::NotListening { fd, name });
    }
    Ok(Socket { name, fd: socket })
}

impl FromStr for SocketName {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "api" => Ok(Self::Api),
            "health" => Ok(Self::Health),
            _ => Err(()),
        }
    }
}

impl fmt::Display for SocketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Api => "api",
            Self::Health => "health",
        })
    }
}
