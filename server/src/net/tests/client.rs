//! An HTTP/2 client that hides nothing.

use std::{io, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, response::Parts};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
    task::JoinHandle,
};
use tonic::Status;
use tonic_types::StatusExt;

use crate::net::Listen;

pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

pub(super) async fn open(address: &Listen) -> io::Result<Box<dyn Io>> {
    Ok(match address {
        Listen::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Listen::Tcp(_) => return Err(io::ErrorKind::Unsupported.into()),
    })
}

/// One connection.
#[derive(Clone)]
pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
    connection: Arc<JoinHandle<()>>,
}

/// All of an answer.
pub(super) struct Answer {
    pub(super) head: Parts,
    trailers: HeaderMap,
}

impl Answer {
    /// The status, wherever it stands.
    pub(super) fn status(&self) -> Option<Status> {
        Status::from_header_map(&self.head.headers)
            .or_else(|| Status::from_header_map(&self.trailers))
    }

    pub(super) fn reason(&self) -> Option<String> {
        let info = self.status()?.get_details_error_info()?;
        assert_eq!(info.domain, "stagepages");
        Some(info.reason)
    }
}

impl Client {
    pub(super) async fn connect(address: &Listen) -> Result<Self, tonic::codegen::StdError> {
        Self::connect_with(address, None).await
    }

    /// A client that lets through `window` bytes of each answer until it is read.
    pub(super) async fn connect_with(
        address: &Listen,
        window: impl Into<Option<u32>>,
    ) -> Result<Self, tonic::codegen::StdError> {
        let io = TokioIo::new(open(address).await?);
        let mut http2 = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        http2.initial_stream_window_size(window);
        let (sender, connection) = http2.handshake(io).await?;
        let connection = tokio::spawn(async move {
            // How it ends is seen by the calls on it.
            drop(connection.await);
        });
        Ok(Self {
            sender,
            connection: Arc::new(connection),
        })
    }

    pub(super) async fn call(&self, path: &str, body: &[u8]) -> Answer {
        self.try_call(path, body).await.expect("is answered")
    }

    pub(super) async fn call_with(
        &self,
        path: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Answer {
        let kind = [("content-type", "application/grpc")];
        self.request("POST", path, body, &[&kind, headers].concat())
            .await
    }

    pub(super) async fn request(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Answer {
        self.send(method, path, body, headers)
            .await
            .expect("is answered")
    }

    pub(super) async fn try_call(&self, path: &str, body: &[u8]) -> hyper::Result<Answer> {
        let headers = [("content-type", "application/grpc")];
        self.send("POST", path, body, &headers).await
    }

    /// Sends a request and leaves its answer unread.
    pub(super) async fn begin(&self, path: &str, body: &[u8]) -> Response<Incoming> {
        let headers = [("content-type", "application/grpc")];
        self.begin_with(path, body, &headers).await
    }

    /// The same, with these headers.
    pub(super) async fn begin_with(
        &self,
        path: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Response<Incoming> {
        self.open("POST", path, body, headers)
            .await
            .expect("is answered")
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> hyper::Result<Answer> {
        let response = self.open(method, path, body, headers).await?;
        let (head, body) = response.into_parts();
        let trailers = body
            .collect()
            .await?
            .trailers()
            .cloned()
            .unwrap_or_default();
        Ok(Answer { head, trailers })
    }

    async fn open(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> hyper::Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://localhost{path}"))
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(Bytes::copy_from_slice(body)))
            .expect("is a request");
        self.sender.clone().send_request(request).await
    }

    pub(super) async fn close(self) {
        self.connection.abort();
        drop(self.sender);
    }
}
