//! Handshakes that fail: why, in words, counted by kind and said seldom.
//!
//! **Invariant:** of what a peer sent, nothing but the names in its certificate gets into the log, and those escaped.

use std::{io, net::SocketAddr};

use rustls::{CertificateError, Error};

use super::{expiry::words, identity::NoIdentity};
use crate::net::tally::Tally;

/// Counts of failed handshakes, by kind.
#[derive(Debug, Default)]
pub(in crate::net) struct Refusals([Tally; KINDS]);

/// What was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Not TLS at all: plaintext, or garbage.
    NotTls,
    /// TLS, but none that both can speak.
    Version,
    /// No client certificate.
    NoCertificate,
    /// One that is not valid here.
    Certificate,
    /// One without an identity.
    Identity,
    /// No HTTP/2.
    Protocol,
    /// The client refused.
    Client,
    /// It went away.
    Gone,
}

const KINDS: usize = Kind::Gone as usize + 1;

/// Why a handshake failed.
#[derive(Debug)]
pub(in crate::net) struct Refused {
    kind: Kind,
    why: String,
}

impl Refusals {
    /// How many there were of all kinds.
    pub(in crate::net) fn count_all(&self) -> u64 {
        self.0.iter().map(Tally::count).sum()
    }

    /// Counts `refused`, and says so if it is time to.
    pub(in crate::net) fn count(&self, refused: &Refused, peer: SocketAddr) {
        let Refused { kind, why } = refused;
        tracing::debug!(%peer, ?kind, why, "a handshake of TLS failed");
        let Some(tally) = self.0.get(*kind as usize) else {
            return;
        };
        if let Some(refused) = tally.one_more()
            && *kind != Kind::Gone
        {
            tracing::warn!(%peer, ?kind, refused, "clients are refused at their handshake of TLS: {why}");
        }
    }
}

impl Refused {
    pub(super) fn no_http2() -> Self {
        Self {
            kind: Kind::Protocol,
            why: "the client does not offer HTTP/2 (ALPN h2), or HTTP/1.1 for pages (http/1.1)"
                .to_owned(),
        }
    }

    pub(super) fn identity(why: &NoIdentity) -> Self {
        Self {
            kind: Kind::Identity,
            why: why.to_string(),
        }
    }
}

impl From<&io::Error> for Refused {
    fn from(error: &io::Error) -> Self {
        let inner = error.get_ref();
        match inner.and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => Self::from(error),
            None => Self {
                kind: Kind::Gone,
                why: error.to_string(),
            },
        }
    }
}

impl From<&Error> for Refused {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "errors of another crate, of which only some have a meaning of their own here"
    )]
    fn from(error: &Error) -> Self {
        let (kind, why) = match error {
            Error::InvalidMessage(_) => (Kind::NotTls, "what it sends is not TLS".to_owned()),
            Error::PeerIncompatible(_) => (
                Kind::Version,
                "the client does not speak TLS 1.3, or none of its algorithms is ours".to_owned(),
            ),
            Error::NoCertificatesPresented => (
                Kind::NoCertificate,
                "the client shows no certificate".to_owned(),
            ),
            Error::NoApplicationProtocol => return Self::no_http2(),
            Error::InvalidCertificate(CertificateError::Other(other)) => {
                match other.0.downcast_ref::<NoIdentity>() {
                    Some(why) => return Self::identity(why),
                    None => (Kind::Certificate, error.to_string()),
                }
            }
            Error::InvalidCertificate(error) => (Kind::Certificate, certificate(error)),
            Error::AlertReceived(alert) => (
                Kind::Client,
                format!(
                    "the client refuses the server's certificate or its algorithms (alert {alert:?})"
                ),
            ),
            other => (Kind::Gone, other.to_string()),
        };
        Self { kind, why }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "errors of another crate, of which only some have a meaning of their own here"
)]
fn certificate(error: &CertificateError) -> String {
    let time = |at: &rustls::pki_types::UnixTime| {
        words(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(at.as_secs()))
    };
    match error {
        // Also of a CA that has the name of one of ours, and not its key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the client's certificate is signed by none of the CAs in tls_client_ca".to_owned()
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            format!(
                "the client's certificate has expired at {}",
                time(not_after)
            )
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!(
                "the client's certificate is valid only from {}",
                time(not_before)
            )
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the client's certificate is not for clients (extendedKeyUsage without clientAuth)"
                .to_owned()
        }
        other => format!("the client's certificate is not valid: {other}"),
    }
}
