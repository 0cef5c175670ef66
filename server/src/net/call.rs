//! One call from its headers to its last byte: the stations in their order, around the routes.
//!
//! **Invariant:** a gRPC request always gets a gRPC answer, and an error always has a reason.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use tonic::{
    body::Body,
    codegen::{Service, StdError},
    service::Routes,
};

use super::{deadline::Deadline, frame_errors, framing::Framed, methods, panics};

/// Answers `request`.
pub(super) async fn answer<B>(
    mut routes: Routes,
    max_message_bytes: usize,
    request: Request<B>,
) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<StdError>,
{
    if let Some(refusal) = not_grpc(&request) {
        return refusal;
    }
    let deadline = match Deadline::from_headers(request.headers()) {
        Ok(deadline) => deadline,
        Err(error) => return error.into_response(),
    };
    let path = request.uri().path().to_owned();
    let single = !methods::takes_stream(&path);
    let request = request.map(|body| Framed::new(body, max_message_bytes, single));
    let handled = async {
        // A tonic router is always ready: axum's poll_ready() says so without looking.
        match routes.call(request).await {
            Ok(response) => frame_errors::explain(&path, response),
            Err(never) => match never {},
        }
    };
    panics::isolate(&path, deadline.enforce(handled)).await
}

/// What is not gRPC gets plain HTTP, as gRPC over HTTP/2 asks: a client of another kind would not read trailers.
fn not_grpc<B>(request: &Request<B>) -> Option<Response<Body>> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let (status, text) = if !kind.is_some_and(is_grpc) {
        let text = "this is a gRPC server; send content-type application/grpc (grpcurl does)\n";
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
    } else if request.method() != Method::POST {
        (
            StatusCode::METHOD_NOT_ALLOWED,
            "gRPC calls are POST requests\n",
        )
    } else {
        return None;
    };
    let mut response = Response::new(Body::new(text.to_owned()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    Some(response)
}

/// `application/grpc`, also with `+proto` or parameters. `application/grpc-web` and `+json` are other protocols.
fn is_grpc(kind: &HeaderValue) -> bool {
    let kind = kind.as_bytes();
    let essence = kind.split(|byte| *byte == b';').next().unwrap_or(kind);
    let essence = essence.trim_ascii();
    essence.eq_ignore_ascii_case(b"application/grpc")
        || essence.eq_ignore_ascii_case(b"application/grpc+proto")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_protobuf_over_grpc_is_grpc() {
        for kind in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;charset=x",
        ] {
            assert!(is_grpc(&HeaderValue::from_static(kind)), "{kind}");
        }
        for kind in [
            "application/grpc-web",
            "application/grpc+json",
            "text/html",
            "",
            ";",
        ] {
            assert!(!is_grpc(&HeaderValue::from_static(kind)), "{kind}");
        }
    }
}
