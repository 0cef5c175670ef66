//! The caller's span, as W3C Trace Context has it (level 2, sections 3.2 and 3.3).
//!
//! **Invariant:** what the specification calls malformed is as if it were not there.

use http::{HeaderMap, HeaderValue};
use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// The most of a `tracestate` that is passed on, in bytes; the specification asks for 512 at the least.
const MAX_STATE: usize = 1024;

/// The span that a call is made in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) sampled: bool,
    pub(super) state: TraceState,
}

impl Parent {
    /// The one that the headers of a request name.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        let (trace, span, sampled) = parse(value.to_str().ok()?)?;
        Some(Self {
            trace,
            span,
            sampled,
            state: state(headers).unwrap_or_default(),
        })
    }
}

/// `version "-" trace-id "-" parent-id "-" trace-flags`. Versions to come may have more behind that.
fn parse(text: &str) -> Option<(TraceId, SpanId, bool)> {
    let mut parts = text.split('-');
    let [version] = hex::<1>(parts.next()?)?;
    let trace = TraceId::from_bytes(hex(parts.next()?)?);
    let span = SpanId::from_bytes(hex(parts.next()?)?);
    let [flags] = hex::<1>(parts.next()?)?;
    let more = parts.next().is_some();
    let known = version != 0xff && (version != 0 || !more);
    (known && trace != TraceId::INVALID && span != SpanId::INVALID)
        .then(|| (trace, span, TraceFlags::new(flags).is_sampled()))
}

/// `N` bytes in lower-case hex.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != N {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// The caller's `tracestate`, which may come in several headers. One that is malformed costs only itself.
fn state(headers: &HeaderMap) -> Option<TraceState> {
    let values: Result<Vec<_>, _> = headers
        .get_all(TRACESTATE)
        .iter()
        .map(HeaderValue::to_str)
        .collect();
    let whole = values.ok()?.join(",");
    (whole.len() <= MAX_STATE)
        .then(|| whole.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_caller_says_its_trace_its_span_and_whether_it_is_sampled() {
        let (trace, span, sampled) = parse(GOOD).unwrap();
        assert_eq!(trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span.to_string(), "b7ad6b7169203331");
        assert!(sampled);
        assert!(!parse(&GOOD.replace("-01", "-00")).unwrap().2);
        // Flags of later levels, and later versions with more behind it.
        assert!(parse(&GOOD.replace("-01", "-03")).unwrap().2);
        assert!(parse(&format!("cc{}-what", &GOOD[2..])).unwrap().2);
    }

    #[test]
    fn what_is_malformed_is_not_there() {
        let bad = [
            String::new(),
            GOOD[1..].to_owned(),
            GOOD.to_uppercase(),
            format!("{GOOD}-"),
            format!("{GOOD}0"),
            format!("ff{}", &GOOD[2..]),
            GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            GOOD.replace("-01", "-0g"),
            GOOD.replace('-', "_"),
        ];
        for text in bad {
            assert_eq!(parse(&text), None, "{text:?}");
        }
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        headers.append(TRACESTATE, HeaderValue::from_static("a=1"));
        headers.append(TRACESTATE, HeaderValue::from_static("b=2"));
        let parent = Parent::of(&headers).unwrap();
        assert_eq!(parent.state.header(), "a=1,b=2");
        headers.append(TRACESTATE, HeaderValue::from_static("!"));
        assert_eq!(Parent::of(&headers).unwrap().state, TraceState::default());
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_eq!(Parent::of(&headers), None, "which of the two?");
    }
}
