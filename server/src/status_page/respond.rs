//! Answers, with what tells a browser to trust nothing but the page itself.
//!
//! **Invariant:** no answer can be kept by a cache, framed by another page, or run a script that is not ours.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use maud::PreEscaped;

use super::{
    Answer,
    look::Look,
    render::{self, Nonce},
    request::{Form, Refusal},
};

/// The page of what was seen, or the changing part of it.
pub(super) fn page(look: &Look, form: Form) -> Answer {
    let nonce = Nonce::new();
    let html = match form {
        Form::Document => render::document(look, &nonce),
        Form::Fragment => render::fragment(look),
    };
    html_answer(StatusCode::OK, html, &nonce)
}

/// A page that says why there is none.
pub(super) fn refused(refusal: &Refusal) -> Answer {
    let nonce = Nonce::new();
    let html = render::refusal(refusal, &nonce);
    let mut answer = html_answer(refusal.status, html, &nonce);
    let headers = answer.headers_mut();
    if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        // Its body was not read, so nothing after it is a request.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if matches!(
        refusal.status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    ) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// The same without its body, where only the head was asked for.
pub(super) fn without_body_if_head(method: &Method, answer: Answer) -> Answer {
    if method == Method::HEAD {
        answer.map(|_| Full::default())
    } else {
        answer
    }
}

fn html_answer(status: StatusCode, html: PreEscaped<String>, nonce: &Nonce) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(html.into_string())));
    *answer.status_mut() = status;
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = answer.headers_mut();
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Hex digits and fixed words: it is a header value.
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    answer
}
