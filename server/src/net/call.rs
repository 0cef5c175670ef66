//! One call from its headers to its last byte: the stations in their order, around the routes.
//!
//! **Invariant:** a gRPC request always gets a gRPC answer, and an error always has a reason.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use tonic::{body::Body, codegen::StdError, service::Routes};

use super::{
    deadline::Deadline,
    frame_errors,
    framing::Framed,
    gate,
    limits::{CALL_BYTES, PAUSE_BYTES},
    metered::Metered,
    methods,
    ongoing::{self, Ongoing},
    panics,
    stall::Patience,
};
use crate::{
    audit,
    auth::Gatekeeper,
    rpc::{reason::Reason, status::ApiError},
};

/// What is suggested to a caller when there are too many calls.
const RETRY: Duration = Duration::from_secs(1);

/// Answers `request`.
pub(super) async fn answer<B>(
    keeper: Gatekeeper,
    routes: Routes,
    max_message_bytes: usize,
    patience: Patience,
    mut request: Request<B>,
) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<StdError>,
{
    if let Some(refusal) = not_grpc(&request) {
        return refusal;
    }
    let standing = match gate::admit(&keeper, &mut request) {
        Ok(standing) => standing,
        Err(error) => return error.into_response(),
    };
    audit::let_in(request.extensions());
    if is_compressed(request.headers()) {
        // tonic refuses it before it reads a message.
        let why = "messages are compressed, which is not supported";
        patience.trouble.misframed(why);
    }
    let deadline = match Deadline::from_headers(request.headers()) {
        Ok(deadline) => deadline,
        Err(error) => return error.into_response(),
    };
    let call = Ongoing::current();
    if let Err(error) = admit(call.as_deref(), &patience, &request) {
        return error.into_response();
    }
    if let (Some(call), Some(at)) = (&call, deadline.at()) {
        // Set once, by this call.
        call.deadline.get_or_init(|| at);
    }
    let path = request.uri().path().to_owned();
    let single = !methods::takes_stream(&path);
    let (record, held) = match &call {
        Some(call) => (call.record.clone(), Arc::clone(&call.held)),
        None => Default::default(),
    };
    let request = request.map(|body| {
        let trouble = Arc::clone(&patience.trouble);
        let body = Framed::new(body, max_message_bytes, single, trouble);
        Metered::new(body, single, patience, record, held)
    });
    let handled = async {
        // A tonic router is always ready: axum's poll_ready() says so without looking.
        frame_errors::explain(&path, gate::pass(routes, standing, request).await)
    };
    let response = panics::isolate(&path, deadline.enforce(handled)).await;
    ongoing::taken(call, response)
}

/// Takes room for the call itself and its headers.
fn admit<B>(
    call: Option<&Ongoing>,
    patience: &Patience,
    request: &Request<B>,
) -> Result<(), ApiError> {
    let Some(call) = call else { return Ok(()) };
    let bytes = CALL_BYTES.saturating_add(size(request.headers()));
    let room = patience
        .budget
        .call(call.record.crowd, bytes)
        .filter(|_| pause(call, patience, request.uri().path()));
    match room {
        Some(room) => {
            call.room.get_or_init(|| room);
            Ok(())
        }
        None => {
            if let Some(refused) = patience.trouble.refused.one_more() {
                tracing::warn!(refused, "calls are refused for the lack of receive budget");
            }
            let text = "the daemon's receive budget has no room for one more call; nothing was done, send it again later";
            Err(ApiError::new(Reason::QueueFull, text)
                .retry_after(RETRY)
                .quota("receive_budget_bytes", text))
        }
    }
}

/// Takes room for the answers of a call whose peer may pause. Not among the calls, where a few hundred of these would leave none for any other.
/// False if there is none.
fn pause(call: &Ongoing, patience: &Patience, path: &str) -> bool {
    if !methods::may_pause(path) {
        return true;
    }
    let room = patience
        .budget
        .try_room(call.record.standing(), PAUSE_BYTES);
    room.map(|room| call.pause.get_or_init(|| room)).is_some()
}

/// The size of a list of headers in bytes, as HTTP/2 counts it (RFC 9113, 10.5.1).
fn size(headers: &HeaderMap) -> u32 {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum();
    // Bounded by MAX_HEADER_LIST_BYTES.
    u32::try_from(bytes).unwrap_or(u32::MAX)
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

/// Whether the messages of a request may be compressed (grpc/doc/PROTOCOL-HTTP2.md, "Message-Encoding").
fn is_compressed(headers: &HeaderMap) -> bool {
    let encoding = headers.get("grpc-encoding");
    encoding.is_some_and(|encoding| encoding != "identity")
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
