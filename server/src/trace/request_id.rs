//! The id of a call, by which its lines in the logs are found.
//!
//! Not to be mixed up with the `request_id` of a StagePagesRequest, which makes a repeat known as such.
//!
//! **Invariant:** an id is 1 to 64 printable ASCII characters.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderName, HeaderValue};
use stagepages_host::protocol::is_call_id;

/// Where callers send it, and are told it.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The one that a caller sends, if that is one header and can be an id; otherwise a new one.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut sent = headers.get_all(HEADER).iter();
        match (sent.next().map(HeaderValue::to_str), sent.next()) {
            (Some(Ok(id)), None) if is_call_id(id) => Self(id.into()),
            _ => Self::new(),
        }
    }

    fn new() -> Self {
        // Nothing rests on its being unguessable, so a kernel that has no random numbers is no reason to fail a call.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let random = getrandom::u64().unwrap_or_else(|_none| NEXT.fetch_add(1, Ordering::Relaxed));
        Self(format!("{random:016x}").into())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As the caller is told it.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        // Printable ASCII always can be one.
        HeaderValue::from_str(&self.0).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let values = values
            .iter()
            .map(|value| (HEADER, HeaderValue::from_bytes(value).unwrap()));
        values.collect()
    }

    #[test]
    fn a_good_id_is_taken_and_any_other_replaced() {
        assert_eq!(
            RequestId::of(&headers(&[b"build 7/3"])).as_str(),
            "build 7/3"
        );
        let long = [b'x'; 65];
        let others: [&[&[u8]]; 5] = [&[], &[b""], &[b"a", b"b"], &[&long], &[b"\xff"]];
        for values in others {
            let made = RequestId::of(&headers(values));
            assert_eq!(made.as_str().len(), 16, "{values:?}");
            assert!(made.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
            assert_ne!(made, RequestId::of(&headers(values)));
        }
    }
}
