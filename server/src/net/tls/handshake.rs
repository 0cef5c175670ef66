//! The handshake with one client.
//!
//! **Invariant:** TLS 1.3, a verified certificate with an identity, the listener's own protocol by ALPN: who lacks one of them gets an alert and nothing else.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    crypto::ring,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    sign::SingleCertAndKey,
    version::TLS13,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    Tls,
    certificate::ClientCertificate,
    followed::{Fault, TlsError},
    identity::{IdentityKind, NoIdentity},
    refused::Refused,
    server::ServerIdentity,
    trust::Trust,
    verify::Identified,
};
use crate::net::peer::PeerInfo;

/// HTTP/2 over TLS (RFC 9113, 3.2).
const H2: &[u8] = b"h2";
/// HTTP/1.1 over TLS (RFC 7301, 6).
const HTTP_1: &[u8] = b"http/1.1";
/// The most that waits to be encrypted or sent, in bytes; one record and its beginning. HTTP/2's own buffer is before it.
const MAX_UNSENT_BYTES: usize = 32 << 10;
/// How long a refused client may take to read why.
const FAREWELL: Duration = Duration::from_secs(1);
/// What it may have sent meanwhile, in bytes, for all that it gets to read it: closing a socket with unread data sends RST, which
/// overtakes the alert (`tcp_close()`, net/ipv4/tcp.c).
const FAREWELL_BYTES: u64 = 64 << 10;

/// What is spoken after a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) enum Protocol {
    /// The API's.
    Http2,
    /// That of pages; who offers no protocol at all means it.
    Http1,
}

/// What handshakes are made with.
pub(super) fn config(
    server: &ServerIdentity,
    trust: &Trust,
    kind: IdentityKind,
) -> Result<ServerConfig, TlsError> {
    let bad = |error: String| TlsError::new("tls_client_ca", "".as_ref(), Fault::Unusable(error));
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let by_ca = if trust.roots.is_empty() {
        None
    } else {
        let roots = Arc::clone(&trust.roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
        Some(verifier.build().map_err(|error| bad(error.to_string()))?)
    };
    let verifier = Identified {
        by_ca,
        kind,
        algorithms,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| bad(error.to_string()))?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&server.key))));
    config.alpn_protocols = vec![H2.to_vec()];
    // A resumed session would not show its certificate again, which may have expired, or its CA be trusted no longer.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(config)
}

/// Makes the handshake on `stream`, which came from `address`.
pub(in crate::net) async fn accept(
    tls: &Tls,
    stream: TcpStream,
    address: SocketAddr,
    protocol: Protocol,
) -> Result<(TlsStream<TcpStream>, PeerInfo), Refused> {
    let mut config = tls.current();
    if protocol == Protocol::Http1 {
        Arc::make_mut(&mut config).alpn_protocols = vec![HTTP_1.to_vec()];
    }
    let accepting = TlsAcceptor::from(config).accept(stream).into_fallible();
    let mut stream = match accepting.await {
        Ok(stream) => stream,
        Err((error, stream)) => {
            let refused = Refused::from(&error);
            farewell(stream).await;
            return Err(refused);
        }
    };
    let (_, session) = stream.get_mut();
    session.set_buffer_limit(Some(MAX_UNSENT_BYTES));
    // rustls refuses who offers other protocols, and lets in who offers none.
    if protocol == Protocol::Http2 && session.alpn_protocol() != Some(H2) {
        return Err(Refused::no_http2());
    }
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let certificate = match certificate {
        Some(certificate) => ClientCertificate::of(certificate, tls.kind),
        None => Err(NoIdentity::Unreadable),
    };
    match certificate {
        Ok(certificate) => {
            let certificate = Arc::new(certificate);
            Ok((
                stream,
                PeerInfo::Tls {
                    address,
                    certificate,
                },
            ))
        }
        Err(why) => Err(Refused::identity(&why)),
    }
}

/// Lets a refused client read its alert.
async fn farewell(mut stream: TcpStream) {
    let read = async {
        stream.shutdown().await?;
        let mut rest = stream.take(FAREWELL_BYTES);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // Whether it reads it is its own business.
    drop(tokio::time::timeout(FAREWELL, read).await);
}
