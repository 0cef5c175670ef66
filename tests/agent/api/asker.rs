//! A client of the API server that is not the agent: one request, with somebody's token.
//!
//! **Invariant:** knows the protocol, and nothing of what is asked.

use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use stagepages_tests::tls_config;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::stand_in::{ApiServer, Kind};

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// `POST` or `PATCH`.
    pub(super) method: &'static str,
    pub(super) kind: Kind,
    /// What stands behind the kind in the path.
    pub(super) below: String,
    pub(super) body: Value,
}

impl Ask {
    fn path(&self, namespace: &str) -> String {
        let Kind { root, plural, .. } = self.kind;
        let namespace = match self.kind.namespaced {
            true => format!("namespaces/{namespace}/"),
            false => String::new(),
        };
        format!("/{root}/{namespace}{plural}{}", self.below)
    }
}

/// Asks as whoever has `token`; what the server answers.
pub(super) async fn ask(api: &ApiServer, token: &str, namespace: &str, ask: &Ask) -> (u16, Value) {
    let mut config = tls_config(&api.ca.pem(), None);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(api.address()).await.unwrap();
    let name = ServerName::from(api.address().ip());
    let tls = TlsConnector::from(Arc::new(config));
    let stream = tls.connect(name, stream).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(ask.method)
        .uri(ask.path(namespace))
        .header("host", "kubernetes.default.svc")
        .header("authorization", format!("Bearer {token}"))
        .body(Full::new(Bytes::from(ask.body.to_string())))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let code = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    connection.abort();
    (code, serde_json::from_slice(&body).unwrap())
}
