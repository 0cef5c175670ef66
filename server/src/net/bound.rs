//! Addresses that are bound and not served yet, for the API and for pages.
//!
//! **Invariant:** all addresses are bound, or none; and TCP is for those who prove who they are unless it was said that it is for anybody.

use std::{io, net::SocketAddr, os::fd::OwnedFd, sync::Arc};

use tokio::net::{TcpListener, TcpSocket};

use super::{
    accept::TlsListener,
    given::Given,
    health::PlainListener,
    listen::Listen,
    local::LocalListener,
    tls::{Protocol, Tls},
    unix::{self, Access, SocketFile, UnixError},
};

/// Why an address cannot be served on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A Unix socket.
    #[error(transparent)]
    Unix(#[from] UnixError),
    /// A TCP address.
    #[error("cannot listen on {address}; name another address")]
    Tcp {
        /// The address.
        address: Listen,
        /// What the system said.
        source: io::Error,
    },
    /// A socket that was given.
    #[error("the socket {name} that a service manager gave cannot be served")]
    Given {
        /// What it is for.
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A TCP address, and nothing to prove who serves there and who calls.
    #[error(
        "{0} is served with mutual TLS only; set tls_cert, tls_key and tls_client_ca, or listen on a unix: address alone"
    )]
    NoTls(Listen),
}

/// Connections to a TCP port that may wait to be accepted; the kernel caps it further (net.core.somaxconn).
const BACKLOG: u32 = 1024;

/// For whom TCP is.
#[derive(Debug, Clone, Copy)]
pub enum Reach<'a> {
    /// Those who prove by TLS who they are; an error, where there is nothing to do that with.
    Proven(Option<&'a Arc<Tls>>),
    /// Whoever reaches the port.
    Anybody,
}

/// Where connections come from.
#[derive(Debug)]
pub(super) enum Listener {
    Unix(LocalListener, Option<SocketFile>),
    Tls(TlsListener),
    Plain(PlainListener),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Bound {
    pub(super) listeners: Vec<Listener>,
    /// As they are: a TCP port 0 has become the port that the kernel chose.
    pub(super) addresses: Vec<Listen>,
}

impl Bound {
    /// Binds all of them. Must be called within a tokio runtime.
    pub(super) fn bind(
        addresses: &[Listen],
        access: Access,
        reach: Reach<'_>,
        protocol: Protocol,
    ) -> Result<Self, BindError> {
        let mut bound = Self::default();
        for address in addresses {
            match address {
                Listen::Unix(path) => {
                    let (listener, file) = unix::serve(path, access)?;
                    let listener = Listener::Unix(LocalListener::new(listener), Some(file));
                    bound.push(listener, address.clone());
                }
                Listen::Tcp(wanted) => {
                    let (tcp, at) = bind_tcp(*wanted)?;
                    bound.push(over_tcp(tcp, &at, reach, protocol)?, at);
                }
            }
        }
        Ok(bound)
    }

    /// Takes a listening socket that somebody else bound.
    pub(super) fn add(
        &mut self,
        socket: OwnedFd,
        reach: Reach<'_>,
        protocol: Protocol,
    ) -> Result<(), BindError> {
        let given = Given::of(socket).map_err(|source| BindError::Given {
            name: "api",
            source,
        });
        let (given, address) = given?;
        let listener = match given {
            Given::Unix(listener) => Listener::Unix(LocalListener::new(listener), None),
            Given::Tcp(tcp) => over_tcp(tcp, &address, reach, protocol)?,
        };
        self.push(listener, address);
        Ok(())
    }

    pub(super) fn push(&mut self, listener: Listener, address: Listen) {
        self.listeners.push(listener);
        self.addresses.push(address);
    }
}

fn over_tcp(
    tcp: TcpListener,
    address: &Listen,
    reach: Reach<'_>,
    protocol: Protocol,
) -> Result<Listener, BindError> {
    match reach {
        Reach::Anybody => Ok(Listener::Plain(PlainListener(tcp))),
        Reach::Proven(None) => Err(BindError::NoTls(address.clone())),
        Reach::Proven(Some(tls)) => Ok(Listener::Tls(TlsListener {
            tcp,
            tls: Arc::clone(tls),
            protocol,
        })),
    }
}

/// Binds a TCP port, and tells which it has become.
pub(super) fn bind_tcp(wanted: SocketAddr) -> Result<(TcpListener, Listen), BindError> {
    let bind = || {
        let socket = match wanted {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // So that the next daemon need not wait until the last one's connections are forgotten (TIME_WAIT).
        socket.set_reuseaddr(true)?;
        socket.bind(wanted)?;
        let listener = socket.listen(BACKLOG)?;
        let at = Listen::Tcp(listener.local_addr()?);
        Ok((listener, at))
    };
    bind().map_err(|source| BindError::Tcp {
        address: Listen::Tcp(wanted),
        source,
    })
}
