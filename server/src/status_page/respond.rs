//! Answers, with what tells a browser to trust nothing but the page itself.
//!
//! **Invariant:** no answer can be framed by another page, or run a script that is not ours.

use http::{HeaderName, HeaderValue, StatusCode, header};
use maud::PreEscaped;

use super::{
    Answer,
    look::Look,
    render::{self, Nonce},
    request::{Form, Refusal},
};
use crate::net::pages::text;

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
    if matches!(
        refusal.status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    ) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

fn html_answer(status: StatusCode, html: PreEscaped<String>, nonce: &Nonce) -> Answer {
    let mut answer = text(status, "text/html; charset=utf-8", html.into_string());
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = answer.headers_mut();
    let fixed = [
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
