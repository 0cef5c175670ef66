//! The listening sockets that the supervisor had of a service manager, and what they take the place of.
//!
//! **Invariant:** an address that such a socket stands for is not bound as well.

use std::{net::SocketAddr, os::fd::OwnedFd};

use anyhow::Context as _;

use crate::{
    net::{HealthServer, Listen, Server},
    supervisor::SocketName,
};

/// Sockets by what they are for.
#[derive(Debug, Default)]
pub(super) struct Given {
    api: Vec<OwnedFd>,
    health: Option<OwnedFd>,
}

impl Given {
    pub(super) fn new(sockets: Vec<(SocketName, OwnedFd)>) -> Self {
        let mut given = Self::default();
        for (name, socket) in sockets {
            match name {
                SocketName::Api => given.api.push(socket),
                SocketName::Health => given.health = Some(socket),
            }
        }
        given
    }

    /// Of the configured addresses, those that are bound all the same: of TCP, where there is a socket for the API.
    pub(super) fn still_bound(&self, listen: &[Listen]) -> Vec<Listen> {
        let replaced = |address: &Listen| matches!(address, Listen::Unix(_));
        let all = listen.iter().cloned();
        all.filter(|address| self.api.is_empty() || !replaced(address))
            .collect()
    }

    /// Has `server` serve the API's sockets, and tells who answers health, if anybody is to.
    ///
    /// # Errors
    /// One of them cannot be served on, or the configured address cannot.
    pub(super) fn serve(
        self,
        server: &mut Server,
        health_listen: Option<SocketAddr>,
    ) -> anyhow::Result<Option<HealthServer>> {
        for socket in self.api {
            server.add(socket)?;
        }
        match self.health {
            Some(socket) => Ok(Some(HealthServer::given(socket)?)),
            None => {
                let server = health_listen.map(HealthServer::bind).transpose();
                server.context("--health-listen")
            }
        }
    }
}
