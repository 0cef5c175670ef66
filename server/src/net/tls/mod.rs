//! The identity of peers over TCP: mutual TLS 1.3 (RFC 8446) under a configured client CA, by rustls.
//!
//! ```text
//!  files ─▶ followed ─┬─▶ server (certificate, key) ─┐
//!  looked at each     └─▶ trust (client CAs)        ─┴─▶ handshake ─▶ certificate ─▶ PeerInfo::Tls
//!  second, on SIGHUP            └─ expiry: said ahead of time        └─ identity: exactly one SAN of the configured kind
//! ```
//!
//! A client without a valid certificate, or without an identity in it, gets no further than the handshake. Nothing is resumed: no
//! tickets, no early data, so every connection shows its certificate. Revocation lists are not read: an identity is revoked where its
//! rights are given, in the policy.
//!
//! **Invariant:** bad new files never replace good old ones, and replacing either closes no connection.

mod certificate;
mod expiry;
mod files;
mod followed;
mod handshake;
mod identity;
mod refused;
mod server;
mod spiffe;
#[cfg(test)]
mod tests;
mod trust;
mod verify;

use std::{
    error::Error,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::ServerConfig;
use stagepages_audit::Event;
use tokio::time::MissedTickBehavior;

pub use self::{
    certificate::ClientCertificate,
    files::TlsFiles,
    followed::{Fault, TlsError},
    identity::IdentityKind,
};
use self::{expiry::Warned, followed::Followed, server::ServerIdentity, trust::Trust};
pub(super) use self::{
    handshake::{Protocol, accept},
    refused::Refusals,
};
use crate::audit::Audit;

/// How often the files are looked at: five calls of stat(2), and nothing is read until one of them has changed. A watch by inotify(7)
/// would have to follow every link on the way there, and misses changes of network file systems.
const LOOK: Duration = Duration::from_secs(1);

/// What TCP is served with. It follows its files.
#[derive(Debug)]
pub struct Tls {
    kind: IdentityKind,
    /// Where it is told that files were read again.
    audit: Audit,
    followed: Mutex<Both>,
    current: RwLock<Arc<ServerConfig>>,
}

#[derive(Debug)]
struct Both {
    server: Followed<ServerIdentity>,
    trust: Followed<Trust>,
    server_warned: Warned,
    trust_warned: Warned,
}

/// When what TCP is served with ceases to be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAfter {
    /// The server's certificate.
    pub server: SystemTime,
    /// The first of the client CAs.
    pub client_ca: SystemTime,
}

impl Tls {
    /// Reads `files`, and tells `audit` when it reads them again. A certificate that has expired is taken, and said: without it the next start of a service whose renewal is late would
    /// end its launches too, and it is replaced as soon as a valid one is there.
    ///
    /// # Errors
    /// A file that cannot be used, and what to do about it.
    pub fn open(files: &TlsFiles, audit: Audit) -> Result<Self, TlsError> {
        let server = Followed::open(files.server(), ServerIdentity::load)?;
        let trust = Followed::open(files.client_ca(), Trust::load)?;
        let config = handshake::config(server.get(), trust.get(), files.identity)?;
        let mut both = Both {
            server,
            trust,
            server_warned: Warned::default(),
            trust_warned: Warned::default(),
        };
        both.warn(SystemTime::now());
        Ok(Self {
            kind: files.identity,
            audit,
            followed: Mutex::new(both),
            current: RwLock::new(Arc::new(config)),
        })
    }

    /// Reads the files now, changed or not, and says what is wrong with them. What cannot be used changes nothing.
    pub fn reload(&self) {
        self.look(true);
    }

    /// When the certificates that are in use expire.
    #[must_use]
    pub fn not_after(&self) -> NotAfter {
        let both = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        NotAfter {
            server: both.server.get().not_after,
            client_ca: both.trust.get().not_after,
        }
    }

    /// Follows the files for as long as it is polled.
    pub(super) async fn follow(&self) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look(false);
        }
    }

    /// What the next handshake is made with.
    fn current(&self) -> Arc<ServerConfig> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    fn look(&self, ask: bool) {
        let mut both = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        // Apart: a pair that is half written keeps no CA from being taken away.
        let now = SystemTime::now();
        let stale = both.trust.get().is_stale(now);
        let server = both.server.look(ask, false);
        let server = self.good(server, both.server.paths());
        let trust = both.trust.look(ask, stale);
        let trust = self.good(trust, both.trust.paths());
        both.warn(now);
        if !(server || trust) {
            return;
        }
        let new = [(server, both.server.paths()), (trust, both.trust.paths())];
        let new = new
            .into_iter()
            .filter_map(|(is, paths)| is.then_some(paths));
        match handshake::config(both.server.get(), both.trust.get(), self.kind) {
            Ok(config) => {
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(config);
                tracing::info!(
                    server,
                    client_ca = trust,
                    "new handshakes use the new files of TLS"
                );
                new.for_each(|paths| self.tell(paths, Ok(())));
            }
            Err(error) => {
                tracing::error!(%error, "the new files of TLS do not go together");
                new.for_each(|paths| self.tell(paths, Err(&error)));
            }
        }
    }

    /// Whether `look` found new files that can be used; says of those at `paths` what cannot.
    fn good(&self, look: Result<bool, TlsError>, paths: &[PathBuf]) -> bool {
        look.unwrap_or_else(|error| {
            tracing::error!(%error, "the new files of TLS cannot be used; those in use stay so until these change");
            self.tell(paths, Err(&error));
            false
        })
    }

    fn tell(&self, paths: &[PathBuf], done: Result<(), &TlsError>) {
        let done = done.map_err(|error| error as &dyn Error);
        self.audit
            .read_again(Event::CertificatesReloaded, paths, done);
    }
}

impl Both {
    fn warn(&mut self, now: SystemTime) {
        let Self {
            server,
            trust,
            server_warned,
            trust_warned,
        } = self;
        server_warned.look("the server's certificate", server.get().not_after, now);
        trust_warned.look("a client CA", trust.get().not_after, now);
    }
}
