//! Its certificate, and the files of a client: as in a pod, a CA's certificate and a token, here with a kubeconfig that names both.
//!
//! **Invariant:** the files name nothing that a pod's would not.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use stagepages_tests::{Authority, Leaf};
use tokio_rustls::TlsAcceptor;

/// Serves with a certificate that `ca` signs.
pub(super) fn acceptor(ca: &Authority) -> TlsAcceptor {
    let issued = ca.issue(&Leaf::server());
    let chain = CertificateDer::pem_slice_iter(issued.cert.as_bytes());
    let chain = chain.collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Writes `ca.crt`, `token` and `kubeconfig`.
pub(super) fn write_config(dir: &Path, address: SocketAddr, ca: &Authority, token: &str) {
    fs::write(dir.join("ca.crt"), ca.pem()).unwrap();
    fs::write(dir.join("token"), token).unwrap();
    let (ca, token) = (dir.join("ca.crt"), dir.join("token"));
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{ "name": "it", "cluster": { "server": format!("https://{address}"), "certificate-authority": ca } }],
        "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "it" } }],
        "users": [{ "name": "it", "user": { "tokenFile": token } }],
    });
    // JSON is YAML.
    fs::write(dir.join("kubeconfig"), config.to_string()).unwrap();
}
