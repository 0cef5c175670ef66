//! What a client proves itself by over TCP, and what it demands of the daemon: mutual TLS 1.3 (RFC 8446).
//!
//! **Invariant:** files are read anew at each connection, so that what was rotated is used from the next one on; nothing is kept of them.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, InconsistentKeys, RootCertStore,
    client::Resumption,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};

use crate::server_name::ByName;

/// Environment variable that names the file of CAs.
pub const CA_VARIABLE: &str = "STAGEPAGES_CA";
/// Environment variable that names the file of the client's certificate.
pub const CERT_VARIABLE: &str = "STAGEPAGES_CERT";
/// Environment variable that names the file of its private key.
pub const KEY_VARIABLE: &str = "STAGEPAGES_KEY";
/// Environment variable with the daemon's name, where it is not the endpoint's.
pub const SERVER_NAME_VARIABLE: &str = "STAGEPAGES_SERVER_NAME";

/// The files, in PEM, and the name of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The CAs that may sign the daemon's certificate.
    pub ca: PathBuf,
    /// The client's own certificate, with its intermediates.
    pub cert: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
    /// The name, the address or the SPIFFE ID (`spiffe://…`) that the daemon's certificate has to have; none for the host of the endpoint.
    pub server_name: Option<String>,
}

/// Why there are no credentials, or none that can be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Some are given and some are not.
    #[error(
        "{0} is not given; --ca, --cert and --key go together, or {CA_VARIABLE}, {CERT_VARIABLE} and {KEY_VARIABLE}"
    )]
    Incomplete(&'static str),
    /// TCP without any.
    #[error(
        "tcp: endpoints are served by mutual TLS only; give --ca, --cert and --key, or {CA_VARIABLE}, {CERT_VARIABLE} and {KEY_VARIABLE}"
    )]
    Missing,
    /// A variable that is no text.
    #[error("environment variable {0} is not UTF-8; give it as a flag")]
    NotUtf8(&'static str),
    /// A file that cannot be read.
    #[error("cannot read the {what} {}", path.display())]
    Read {
        /// What it is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that does not hold what it should.
    #[error("the {what} {} {problem}", path.display())]
    File {
        /// What it is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

const CA: &str = "CA file";
const CERT: &str = "certificate file";
const KEY: &str = "key file";

impl Credentials {
    /// Those that the environment names; none if it names none. An empty variable counts as unset.
    ///
    /// # Errors
    /// Only some of the files are named.
    pub fn from_environment() -> Result<Option<Self>, CredentialsError> {
        let file = |name| env::var_os(name).filter(|it: &OsString| !it.is_empty());
        let name = file(SERVER_NAME_VARIABLE).map(OsString::into_string);
        let name = name
            .transpose()
            .map_err(|_bytes| CredentialsError::NotUtf8(SERVER_NAME_VARIABLE))?;
        let path = |name| file(name).map(PathBuf::from);
        Self::of(
            path(CA_VARIABLE),
            path(CERT_VARIABLE),
            path(KEY_VARIABLE),
            name,
        )
    }

    /// Of files that go together; none if there is none of them.
    ///
    /// # Errors
    /// Only some of the files are there.
    pub fn of(
        ca: Option<PathBuf>,
        cert: Option<PathBuf>,
        key: Option<PathBuf>,
        server_name: Option<String>,
    ) -> Result<Option<Self>, CredentialsError> {
        if ca.is_none() && cert.is_none() && key.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            ca: ca.ok_or(CredentialsError::Incomplete("the CA"))?,
            cert: cert.ok_or(CredentialsError::Incomplete("the certificate"))?,
            key: key.ok_or(CredentialsError::Incomplete("the key"))?,
            server_name,
        }))
    }

    /// What the next handshake is made with.
    pub(crate) fn config(&self) -> Result<ClientConfig, CredentialsError> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        for ca in certificates(CA, &self.ca)? {
            roots
                .add(ca)
                .map_err(|error| wrong(CA, &self.ca, format!("cannot be used: {error}")))?;
        }
        let spiffe_id = self
            .server_name
            .as_deref()
            .filter(|it| it.starts_with("spiffe://"));
        let verifier = ByName::new(roots, Arc::clone(&provider), spiffe_id)
            .map_err(|error| wrong(CA, &self.ca, format!("cannot be used: {error}")))?;
        let chain = certificates(CERT, &self.cert)?;
        let private = private_key(&self.key)?;
        let pair = CertifiedKey::from_der(chain, private, &provider).map_err(|error| {
            let mismatch = rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch);
            let problem = if error == mismatch {
                format!(
                    "is not the key of the certificate in {}",
                    self.cert.display()
                )
            } else {
                format!("cannot be used: {error}")
            };
            wrong(KEY, &self.key, problem)
        })?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| wrong(CA, &self.ca, format!("cannot be used: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::new(pair))));
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

fn certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(what, path)?).collect();
    match found {
        Ok(found) if found.is_empty() => Err(wrong(what, path, "holds no certificate in PEM")),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(what, path, format!("does not parse: {error}"))),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CredentialsError> {
    PrivateKeyDer::from_pem_slice(&read(KEY, path)?).map_err(|error| {
        let problem = if matches!(error, pem::Error::NoItemsFound) {
            "holds no private key in PEM, or one with a passphrase".to_owned()
        } else {
            format!("does not parse: {error}")
        };
        wrong(KEY, path, problem)
    })
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, CredentialsError> {
    fs::read(path).map_err(|source| CredentialsError::Read {
        what,
        path: path.to_owned(),
        source,
    })
}

fn wrong(what: &'static str, path: &Path, problem: impl Into<String>) -> CredentialsError {
    CredentialsError::File {
        what,
        path: path.to_owned(),
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_together() {
        let path = || Some(PathBuf::from("/x"));
        assert_eq!(Credentials::of(None, None, None, None).unwrap(), None);
        assert!(
            Credentials::of(path(), path(), path(), None)
                .unwrap()
                .is_some()
        );
        let error = Credentials::of(path(), None, path(), None).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the certificate is not given"),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.crt");
        let credentials = Credentials {
            ca: path.clone(),
            ..Credentials::default()
        };
        let said = || credentials.config().unwrap_err().to_string();
        assert_eq!(
            said(),
            format!("cannot read the CA file {}", path.display())
        );
        fs::write(&path, "nothing").unwrap();
        assert_eq!(
            said(),
            format!("the CA file {} holds no certificate in PEM", path.display())
        );
    }
}
