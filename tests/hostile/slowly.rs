//! A client that keeps HTTP/2's rules and decides itself when the next byte of its request comes.
//!
//! **Invariant:** nothing is sent that a test did not ask for, and nothing is checked.
use std::convert::Infallible;
use std::net::Shutdown;
use std::path::Path;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

pub(crate) const STAGE: &str = "/stagepages.v1.LaunchService/StagePages";
pub(crate) const STREAM: &str = "/stagepages.v1.LaunchService/StagePagesStream";
pub(crate) const WATCH: &str = "/stagepages.v1.LaunchService/WatchLaunch";

type Body = StreamBody<ReceiverStream<Result<Frame<Bytes>, Infallible>>>;

/// A connection. Dropped, it is gone without a word.
#[derive(Debug)]
pub(crate) struct Slowly {
    sender: SendRequest<Body>,
    connection: JoinHandle<hyper::Result<()>>,
    /// The same socket once more, to close it under everything else.
    socket: std::os::unix::net::UnixStream,
}

/// A call. Dropping `request` ends the request; aborting `answer` resets the call.
#[derive(Debug)]
pub(crate) struct SlowCall {
    request: mpsc::Sender<Result<Frame<Bytes>, Infallible>>,
    answer: JoinHandle<hyper::Result<(Bytes, Option<Status>)>>,
}

impl Slowly {
    pub(crate) async fn open(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket)
            .await
            .expect("the daemon accepts");
        let stream = stream.into_std().expect("a socket of tokio's");
        let socket = stream.try_clone().expect("a descriptor is free");
        let stream = UnixStream::from_std(stream).expect("within a runtime");
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("the daemon speaks HTTP/2");
        Self {
            sender,
            connection: tokio::spawn(connection),
            socket,
        }
    }

    /// Whether the daemon has closed the connection, or will once its calls have ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.connection.is_finished()
    }

    /// Begins a call.
    pub(crate) fn call(&self, path: &str, headers: &[(&str, &str)]) -> SlowCall {
        let (request, body) = mpsc::channel(1);
        let mut builder = Request::post(format!("http://stagepages{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let body = StreamBody::new(ReceiverStream::new(body));
        let call = builder.body(body).expect("a valid request");
        let mut sender = self.sender.clone();
        let answer = tokio::spawn(async move {
            sender.ready().await?;
            let (head, body) = sender.send_request(call).await?.into_parts();
            let body = body.collect().await?;
            let status = Status::from_header_map(&head.headers)
                .or_else(|| body.trailers().and_then(Status::from_header_map));
            Ok((body.to_bytes(), status))
        });
        SlowCall { request, answer }
    }
}

impl Drop for Slowly {
    fn drop(&mut self) {
        // The daemon may have closed it.
        self.socket.shutdown(Shutdown::Both).ok();
    }
}

impl SlowCall {
    /// Sends `bytes` as soon as what came before is on its way; false if nobody takes them any more.
    pub(crate) async fn send(&self, bytes: Bytes) -> bool {
        self.request.send(Ok(Frame::data(bytes))).await.is_ok()
    }

    /// Whether the answer has come.
    pub(crate) fn is_answered(&self) -> bool {
        self.answer.is_finished()
    }

    /// Ends the request, and takes the answer: what came of it, as a client library would have it.
    pub(crate) async fn finish(self) -> Result<Bytes, Status> {
        drop(self.request);
        Self::told(self.answer).await
    }

    /// Takes the answer while the request goes on.
    pub(crate) async fn answer(self) -> Result<Bytes, Status> {
        let _request = self.request;
        Self::told(self.answer).await
    }

    async fn told(
        answer: JoinHandle<hyper::Result<(Bytes, Option<Status>)>>,
    ) -> Result<Bytes, Status> {
        match answer.await.expect("no panic") {
            Ok((_, Some(status))) if status.code() != Code::Ok => Err(status),
            Ok((body, _)) => Ok(body),
            Err(error) => Err(Status::unknown(format!("the stream broke: {error}"))),
        }
    }
}
