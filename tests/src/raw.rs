//! gRPC by hand, for what no well-behaved client sends: broken frames, broken messages, deadlines that only the server enforces.
//!
//! **Invariant:** nothing is checked or repaired on the way out; what a test writes is what the daemon reads.
use std::path::Path;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tonic::Status;

use crate::way::Io;

/// A gRPC frame: the flag that says whether it is compressed, the length, the message.
///
/// # Panics
/// If the message is longer than a frame can say.
#[must_use]
pub fn frame(compressed: u8, message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(compressed);
    frame.put_u32(message.len().try_into().expect("a message below 4 GiB"));
    frame.put_slice(message);
    frame.freeze()
}

/// One HTTP/2 connection.
#[derive(Debug)]
pub struct Raw {
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

/// What came back.
#[derive(Debug)]
pub struct RawAnswer {
    /// The HTTP status, 200 for everything that is gRPC.
    pub http: StatusCode,
    /// The gRPC status, from the headers or the trailers.
    pub status: Option<Status>,
    /// The body: zero or more frames.
    pub body: Bytes,
}

impl Raw {
    /// Connects.
    ///
    /// # Panics
    /// If nobody speaks HTTP/2 there.
    pub async fn open(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket)
            .await
            .expect("the daemon accepts");
        Self::over(Box::new(stream)).await
    }

    /// Begins to speak on a connection.
    ///
    /// # Panics
    /// If nobody speaks HTTP/2 there.
    pub async fn over(io: Box<dyn Io>) -> Self {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io))
            .await
            .expect("the daemon speaks HTTP/2");
        Self {
            sender,
            connection: tokio::spawn(connection),
        }
    }

    /// Posts `body` to `path`, with `headers` over those that gRPC needs.
    ///
    /// # Errors
    /// If the stream broke without an answer.
    ///
    /// # Panics
    /// If the headers are none.
    pub async fn call(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> hyper::Result<RawAnswer> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://stagepages{path}"));
        let map = request.headers_mut().expect("a valid URI");
        map.insert("content-type", "application/grpc".parse().unwrap());
        map.insert("te", "trailers".parse().unwrap());
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().expect("a header name");
            map.insert(name, value.parse().expect("a header value"));
        }
        self.sender.ready().await?;
        let response = self
            .sender
            .send_request(request.body(Full::new(body)).expect("a valid request"))
            .await?;
        let (head, body) = response.into_parts();
        let collected = body.collect().await?;
        let status = status_in(&head.headers).or_else(|| collected.trailers().and_then(status_in));
        Ok(RawAnswer {
            http: head.status,
            status,
            body: collected.to_bytes(),
        })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn status_in(headers: &HeaderMap) -> Option<Status> {
    Status::from_header_map(headers)
}

impl RawAnswer {
    /// The error that this answer must be.
    ///
    /// # Panics
    /// If it is something else.
    ///
    /// # Errors
    /// Always: it is meant for [`crate::refused`].
    pub fn error(self) -> Result<Bytes, Status> {
        assert_eq!(
            self.http,
            StatusCode::OK,
            "errors of gRPC come with HTTP status 200: {self:?}"
        );
        match self.status {
            Some(status) if status.code() != tonic::Code::Ok => Err(status),
            _ => Ok(self.body),
        }
    }
}
