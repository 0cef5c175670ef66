//! A service whose handlers do what a test tells them.

use std::{
    convert::Infallible,
    future::pending,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::Semaphore;
use tonic::{body::Body, codegen::Service, server::NamedService, service::Routes};

use crate::net::PeerInfo;

/// What `Flood` answers with, in bytes.
pub(super) const FLOOD_BYTES: usize = 16 << 10;

/// The service `test.Probe`, and the test's handle on it.
#[derive(Clone)]
pub(super) struct Probe {
    entered: Arc<Semaphore>,
    dropped: Arc<Semaphore>,
    release: Arc<Semaphore>,
    peer: Arc<Mutex<Option<PeerInfo>>>,
}

impl Default for Probe {
    fn default() -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self {
            entered: none(),
            dropped: none(),
            release: none(),
            peer: Arc::default(),
        }
    }
}

/// Tells the test when a handler is dropped before its end.
struct Guard(Arc<Semaphore>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

impl Probe {
    pub(super) fn routes(&self) -> Routes {
        let (_reporter, health) = tonic_health::server::health_reporter();
        Routes::new(self.clone())
            .add_service(Console(self.clone()))
            .add_service(health.max_decoding_message_size(64))
    }

    /// Waits until a call of `Wait` has reached its handler.
    pub(super) async fn entered(&self) {
        self.entered.acquire().await.expect("stays open").forget();
    }

    /// Waits until a handler was dropped.
    pub(super) async fn dropped(&self) {
        self.dropped.acquire().await.expect("stays open").forget();
    }

    /// Lets one call of `Wait` end.
    pub(super) fn release(&self) {
        self.release.add_permits(1);
    }

    pub(super) fn peer(&self) -> Option<PeerInfo> {
        self.peer.lock().expect("no panic").clone()
    }

    async fn wait(self) -> Response<Body> {
        self.entered.add_permits(1);
        let guard = Guard(Arc::clone(&self.dropped));
        self.release.acquire().await.expect("stays open").forget();
        drop(guard);
        ok()
    }

    /// One message, then nothing for ever.
    fn stream(&self) -> Response<Body> {
        let guard = Guard(Arc::clone(&self.dropped));
        let first = Bytes::from_static(&[0, 0, 0, 0, 0]);
        let body = http_body_util::Full::new(first).map_err(|never| match never {});
        let rest = StreamBody::new(OneShot(Some(Box::pin(async move {
            let _guard = guard;
            pending::<()>().await;
            Ok(Frame::data(Bytes::new()))
        }))));
        grpc(Body::new(Chain(Some(Body::new(body)), Body::new(rest))))
    }

    /// More than the window of a reader that has a small one, then success.
    fn flood(&self) -> Response<Body> {
        let guard = Guard(Arc::clone(&self.dropped));
        self.entered.add_permits(1);
        // In parts: hyper has one in hand, and one with h2, before it waits for the reader.
        let part = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; FLOOD_BYTES / 4])));
        let parts = tokio_stream::iter([part(), part(), part(), part()]);
        let data = StreamBody::new(parts);
        let end = ok().into_body();
        grpc(Body::new(Guarded(Chain(Some(Body::new(data)), end), guard)))
    }

    fn panic_later() -> Response<Body> {
        grpc(Body::new(StreamBody::new(OneShot(Some(Box::pin(async {
            panic!("in a body, as the test wants it")
        }))))))
    }
}

fn grpc(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    response
}

fn ok() -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    grpc(Body::new(StreamBody::new(OneShot(Some(Box::pin(async {
        Ok(Frame::trailers(trailers))
    }))))))
}

type Boxed = Pin<Box<dyn Future<Output = Result<Frame<Bytes>, Infallible>> + Send>>;

/// A stream of one frame.
struct OneShot(Option<Boxed>);

impl tokio_stream::Stream for OneShot {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(frame) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let frame = std::task::ready!(frame.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(Some(frame))
    }
}

/// One body after another.
struct Chain(Option<Body>, Body);

impl http_body::Body for Chain {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        if let Some(first) = &mut self.0 {
            match std::task::ready!(Pin::new(first).poll_frame(cx)) {
                Some(frame) => return Poll::Ready(Some(frame)),
                None => self.0 = None,
            }
        }
        Pin::new(&mut self.1).poll_frame(cx)
    }
}

/// A body that tells when it is dropped.
struct Guarded(
    Chain,
    #[expect(dead_code, reason = "held for its drop")] Guard,
);

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

/// The same service under the name of the one whose peers may pause.
#[derive(Clone)]
struct Console(Probe);

impl NamedService for Console {
    const NAME: &'static str = "stagepages.v1.LaunchService";
}

impl Service<Request<Body>> for Console {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Probe as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.call(request)
    }
}

impl NamedService for Probe {
    const NAME: &'static str = "test.Probe";
}

impl Service<Request<Body>> for Probe {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let peer = request.extensions().get::<PeerInfo>().cloned();
        *self.peer.lock().expect("no panic") = peer;
        let probe = self.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/test.Probe/Echo" => ok(),
                "/test.Probe/Wait" => probe.wait().await,
                "/test.Probe/Stream" => probe.stream(),
                "/test.Probe/Flood" | "/stagepages.v1.LaunchService/AttachConsole" => probe.flood(),
                "/test.Probe/Panic" => panic!("in a handler, as the test wants it"),
                "/test.Probe/PanicLater" => Self::panic_later(),
                other => panic!("no handler for {other}"),
            })
        })
    }
}
