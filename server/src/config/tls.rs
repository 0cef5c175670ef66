//! The keys of TLS, which go together: all three files, or no TCP.
//!
//! **Invariant:** a TCP address without all of them is an error that names those that are missing.

use super::{ConfigError, values::AbsolutePath};
use crate::net::{IdentityKind, Listen, TlsFiles};

/// What the keys amount to, for a daemon that is to serve on `listen`: addresses, with the keys that have them.
pub(super) fn files(
    cert: Option<AbsolutePath>,
    key: Option<AbsolutePath>,
    client_ca: Option<AbsolutePath>,
    identity: Option<IdentityKind>,
    listen: &[(&'static str, &Vec<Listen>)],
) -> Result<Option<TlsFiles>, ConfigError> {
    let mut addresses = listen
        .iter()
        .flat_map(|(key, listen)| listen.iter().map(|it| (*key, it)));
    let tcp = addresses.find(|(_, it)| matches!(it, Listen::Tcp(_)));
    let given = [cert.is_some(), key.is_some(), client_ca.is_some()];
    if let (Some(cert), Some(key), Some(client_ca)) = (cert, key, client_ca) {
        return Ok(Some(TlsFiles {
            cert: cert.into_path(),
            key: key.into_path(),
            client_ca: client_ca.into_path(),
            identity: identity.unwrap_or_default(),
        }));
    }
    let missing: Vec<&str> = ["tls_cert", "tls_key", "tls_client_ca"]
        .into_iter()
        .zip(given)
        .filter_map(|(key, given)| (!given).then_some(key))
        .collect();
    let missing = missing.join(", ");
    match tcp {
        Some((key, address)) => Err(ConfigError::TcpWithoutTls {
            key,
            address: address.clone(),
            missing,
        }),
        None if given.contains(&true) => Err(ConfigError::HalfTls(missing)),
        None => Ok(None),
    }
}
