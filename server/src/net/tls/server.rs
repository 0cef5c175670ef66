//! The server's own certificate and key.
//!
//! **Invariant:** the key is the certificate's.

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use rustls::{
    InconsistentKeys,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    sign::CertifiedKey,
};

use super::{
    certificate::{Validity, parse},
    expiry::words,
    files::read,
    followed::{Fault, TlsError},
};

const CERT: &str = "tls_cert";
const KEY: &str = "tls_key";

/// What the server shows, and what it signs with.
#[derive(Debug)]
pub(super) struct ServerIdentity {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) not_after: SystemTime,
}

impl ServerIdentity {
    /// Of a certificate file and a key file.
    pub(super) fn load(paths: &[PathBuf], old: Option<&Self>) -> Result<Self, TlsError> {
        let [cert, key] = paths else {
            return Err(TlsError::new(
                CERT,
                "".as_ref(),
                Fault::Empty("certificate"),
            ));
        };
        let bad_cert = |fault| TlsError::new(CERT, cert, fault);
        let bad_key = |fault| TlsError::new(KEY, key, fault);
        let chain = certificates(&read(cert).map_err(|error| bad_cert(Fault::Read(error)))?)
            .map_err(bad_cert)?;
        let validity = chain.first().ok_or(Fault::Empty("certificate"));
        let validity = validity
            .and_then(|leaf| parse(leaf).map_err(|error| Fault::Parse(error.to_string())))
            .map(|leaf| Validity::of(&leaf))
            .map_err(bad_cert)?;
        // Its PEM, and the DER in it, are gone when this returns: freed, and wiped with that (`stagepages_kvm::WipingHeap`). What stays is the key that rustls
        // made of it, until the last connection that began with it has ended.
        let bytes = read(key).map_err(|error| bad_key(Fault::Read(error)))?;
        let private = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
            bad_key(if matches!(error, pem::Error::NoItemsFound) {
                Fault::Empty("private key without a passphrase")
            } else {
                Fault::Parse(error.to_string())
            })
        })?;
        let pair = CertifiedKey::from_der(chain, private, &ring::default_provider());
        let pair = pair.map_err(|error| {
            let mismatch = rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch);
            bad_key(if error == mismatch {
                Fault::Mismatch
            } else {
                Fault::Unusable(error.to_string())
            })
        })?;
        // Nothing valid is given up for what is not.
        if let Some(old) = old {
            let now = SystemTime::now();
            if now > validity.not_after && validity.not_after < old.not_after {
                return Err(bad_cert(Fault::Expired(words(validity.not_after))));
            }
            if now < validity.not_before {
                return Err(bad_cert(Fault::NotYet(words(validity.not_before))));
            }
        }
        Ok(Self {
            key: Arc::new(pair),
            not_after: validity.not_after,
        })
    }
}

/// All certificates of a PEM file, in its order.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| Fault::Parse(error.to_string()))?;
    if found.is_empty() {
        return Err(Fault::Empty("certificate"));
    }
    Ok(found)
}
