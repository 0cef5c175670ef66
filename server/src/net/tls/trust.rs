//! The CAs whose clients are let in: one, or several while one replaces another.
//!
//! **Invariant:** nothing in it but CAs that were valid when the file was read; a bundle without one lets nobody in.

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use rustls::{RootCertStore, pki_types::CertificateDer};
use x509_cert::ext::pkix::BasicConstraints;

use super::{
    certificate::{Validity, parse},
    expiry::words,
    files::read,
    followed::{Fault, TlsError},
    server::certificates,
};

const KEY: &str = "tls_client_ca";

/// What clients' certificates have to lead to.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) roots: Arc<RootCertStore>,
    /// Of the CA that expires first.
    pub(super) not_after: SystemTime,
}

impl Trust {
    /// Of a bundle. CAs in it that have expired, or are not valid yet, are left out: they are there for a rotation. A bundle without a
    /// valid one replaces none that has one; elsewhere it lets nobody in, until it is renewed.
    pub(super) fn load(paths: &[PathBuf], old: Option<&Self>) -> Result<Self, TlsError> {
        let [path] = paths else {
            return Err(TlsError::new(KEY, "".as_ref(), Fault::Empty("certificate")));
        };
        let bad = |fault| TlsError::new(KEY, path, fault);
        let bytes = read(path).map_err(|error| bad(Fault::Read(error)))?;
        let now = SystemTime::now();
        let mut roots = RootCertStore::empty();
        let mut not_after: Option<SystemTime> = None;
        let mut unfit = None;
        for certificate in certificates(&bytes).map_err(bad)? {
            let validity = authority(&certificate).map_err(bad)?;
            if now > validity.not_after {
                unfit = unfit.or(Some((Fault::Expired(words(validity.not_after)), validity)));
            } else if now < validity.not_before {
                unfit = unfit.or(Some((Fault::NotYet(words(validity.not_before)), validity)));
            } else {
                roots
                    .add(certificate)
                    .map_err(|error| bad(Fault::Unusable(error.to_string())))?;
                let first = not_after.unwrap_or(validity.not_after);
                not_after = Some(first.min(validity.not_after));
            }
        }
        let lets_somebody_in = old.is_some_and(|old| !old.roots.is_empty() && !old.is_stale(now));
        let not_after = match (not_after, unfit) {
            (Some(first), _) => first,
            (None, Some((fault, _))) if lets_somebody_in => return Err(bad(fault)),
            (None, Some((fault, validity))) => {
                tracing::error!(error = %bad(fault), "no client is let in over TCP");
                validity.not_after
            }
            (None, None) => return Err(bad(Fault::Empty("certificate"))),
        };
        Ok(Self {
            roots: Arc::new(roots),
            not_after,
        })
    }

    /// Whether one of the CAs has expired since. webpki does not look at the validity of a trust anchor (RFC 5280, 6.1.1, leaves it out), so
    /// it has to go.
    pub(super) fn is_stale(&self, now: SystemTime) -> bool {
        !self.roots.is_empty() && now > self.not_after
    }
}

/// When this CA is valid; an error if it is none.
fn authority(der: &CertificateDer<'_>) -> Result<Validity, Fault> {
    let certificate = parse(der).map_err(|error| Fault::Parse(error.to_string()))?;
    let constraints = certificate
        .tbs_certificate()
        .get_extension::<BasicConstraints>()
        .map_err(|error| Fault::Parse(error.to_string()))?;
    if !constraints.is_some_and(|(_, constraints)| constraints.ca) {
        let subject = certificate.tbs_certificate().subject().to_string();
        return Err(Fault::NotCa(crate::rpc::status::printable(&subject, 200)));
    }
    Ok(Validity::of(&certificate))
}
