//! A TLS client that does as it is told, also what no good client does.
//!
//! **Invariant:** independent of the product's own client.
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint, Uri};

use crate::aside::aside;
use crate::pki::Issued;

/// What a client shows and demands; HTTP/2 by ALPN.
///
/// # Panics
/// If something is no PEM.
#[must_use]
pub fn tls_config(server_cas: &str, client: Option<&Issued>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(server_cas.as_bytes()) {
        roots.add(ca.expect("PEM")).expect("a certificate");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("ring does TLS 1.3")
        .with_root_certificates(roots);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(issued) => {
            let chain = CertificateDer::pem_slice_iter(issued.cert.as_bytes());
            let chain = chain.collect::<Result<_, _>>().expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("PEM");
            builder
                .with_client_auth_cert(chain, key)
                .expect("the certificate's own key")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    config
}

/// A handshake with the daemon at `address`, by its name `localhost`.
///
/// # Errors
/// As TCP and TLS have them. In TLS 1.3 the client has finished before the server judges its certificate, so a refusal may come with the
/// first bytes that are read.
///
/// # Panics
/// Never.
pub async fn tls_connect(
    address: SocketAddr,
    config: ClientConfig,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// A channel over TLS that connects anew, with what `config` makes then, as often as it has to.
///
/// # Errors
/// The first connection does not come about.
pub async fn tls_channel(
    address: SocketAddr,
    config: impl Fn() -> ClientConfig + Clone + Send + Sync + 'static,
) -> Result<Channel, tonic::transport::Error> {
    let dial = tower::service_fn(move |_: Uri| {
        let config = config();
        async move { tls_connect(address, config).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("https://localhost");
    aside(async move { endpoint.connect_with_connector(dial).await }).await
}
