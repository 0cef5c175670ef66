//! A client's certificate, as far as anybody else has to know it.
//!
//! **Invariant:** one exists only of a certificate that a handshake has verified.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_cert::{
    Certificate,
    der::{Decode as _, Error},
};

use super::identity::{IdentityKind, NoIdentity};

/// Who a client is, by the certificate that it proved to hold the key of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    identity: String,
    not_after: SystemTime,
    serial: String,
    fingerprint: String,
}

impl ClientCertificate {
    /// What names the client, as policies write it: `spiffe://…`, `dns:NAME` or `email:NAME`, by what `tls_identity` configures.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// When it ceases to be valid.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether it is valid no longer at `now`.
    #[must_use]
    pub fn has_expired(&self, now: SystemTime) -> bool {
        now > self.not_after
    }

    /// The serial number that its CA gave it, in lower-case hex.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// SHA-256 of the certificate in DER, in lower-case hex, as `openssl x509 -fingerprint -sha256` shows it with colons.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Of a certificate that was verified.
    pub(super) fn of(der: &CertificateDer<'_>, kind: IdentityKind) -> Result<Self, NoIdentity> {
        let Ok(certificate) = Certificate::from_der(der) else {
            return Err(NoIdentity::Unreadable);
        };
        Ok(Self {
            identity: kind.of(&certificate)?,
            not_after: Validity::of(&certificate).not_after,
            serial: hex(certificate.tbs_certificate().serial_number().as_bytes()),
            fingerprint: hex(&Sha256::digest(der)),
        })
    }
}

/// From when to when a certificate is valid, both included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Validity {
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

impl Validity {
    pub(super) fn of(certificate: &Certificate) -> Self {
        let validity = certificate.tbs_certificate().validity();
        let time = |since: Duration| SystemTime::UNIX_EPOCH + since;
        Self {
            not_before: time(validity.not_before.to_unix_duration()),
            not_after: time(validity.not_after.to_unix_duration()),
        }
    }
}

/// Reads a certificate.
pub(super) fn parse(der: &CertificateDer<'_>) -> Result<Certificate, Error> {
    Certificate::from_der(der)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
