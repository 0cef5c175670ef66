//! Whose work a request is: the id of the call that it was sent for.
//!
//! It goes into the log, beside the uid of the launch, and nowhere else.
//!
//! **Invariant:** an id that comes out of here is printable ASCII and short, whoever sent it.

use tracing::{Span, field::Empty};

/// The most that a call's id takes, in bytes.
pub const MAX_CALL_ID_BYTES: usize = 64;

/// The call that a request is sent for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Context {
    /// Its id; one that cannot be an id is left out of the log.
    #[prost(string, tag = "1")]
    pub request: String,
    /// Its span, as `traceparent` of W3C Trace Context has it; empty if it is not traced.
    #[prost(string, tag = "2")]
    pub traceparent: String,
}

impl Context {
    /// The span that everything is logged in which is done for it. At the level that every filter lets through.
    #[must_use]
    pub fn span(&self) -> Span {
        let span = tracing::error_span!("call", request = Empty, trace = Empty);
        if is_call_id(&self.request) {
            span.record("request", self.request.as_str());
        }
        if let Some(trace) = trace_id(&self.traceparent) {
            span.record("trace", trace);
        }
        span
    }
}

/// The id of the trace in a `traceparent` of version 00.
fn trace_id(traceparent: &str) -> Option<&str> {
    let hex = |text: &str, digits: usize| {
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        text.len() == digits && text.bytes().all(lower)
    };
    let mut parts = traceparent.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let (span, flags) = (parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && version == "00" && hex(span, 16) && hex(flags, 2);
    (whole && hex(trace, 32)).then_some(trace)
}

/// Whether `text` can be the id of a call: 1 to [`MAX_CALL_ID_BYTES`] printable ASCII characters.
#[must_use]
pub fn is_call_id(text: &str) -> bool {
    (1..=MAX_CALL_ID_BYTES).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_printable() {
        for good in ["a", "0af7651916cd43dd", "a b\"}", &"x".repeat(64)] {
            assert!(is_call_id(good), "{good:?}");
        }
        for bad in ["", "a\n", "\u{1b}[0m", "ä", "\u{7f}", &"x".repeat(65)] {
            assert!(!is_call_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn nothing_but_a_trace_id_is_taken_for_one() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let good = format!("00-{trace}-b7ad6b7169203331-01");
        assert_eq!(trace_id(&good), Some(trace));
        let longer = format!("{good}-");
        for bad in [
            "",
            "00",
            &good[1..],
            &longer,
            &good.to_uppercase(),
            &good.replace("00-", "01-"),
        ] {
            assert_eq!(trace_id(bad), None, "{bad:?}");
        }
    }
}
