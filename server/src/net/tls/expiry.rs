//! Saying ahead of time that a certificate expires.
//!
//! **Invariant:** each of the times is said once for one certificate, so the log tells of an expiry and is not filled with it.

use std::time::{Duration, SystemTime};

const HOUR: Duration = Duration::from_secs(3600);
/// How long before the end something is said, longest first.
const AHEAD: [Duration; 8] = [
    Duration::from_secs(30 * 24 * 3600),
    Duration::from_secs(7 * 24 * 3600),
    Duration::from_secs(24 * 3600),
    Duration::from_secs(12 * 3600),
    Duration::from_secs(6 * 3600),
    Duration::from_secs(3 * 3600),
    HOUR,
    Duration::ZERO,
];

/// What was said of a certificate.
#[derive(Debug, Default)]
pub(super) struct Warned {
    said: Option<(SystemTime, usize)>,
}

impl Warned {
    /// Says of `what`, which ends at `not_after`, what there is to be said `now` and was not.
    pub(super) fn look(&mut self, what: &'static str, not_after: SystemTime, now: SystemTime) {
        if !self.is_due(not_after, now) {
            return;
        }
        let at = words(not_after);
        match not_after.duration_since(now) {
            Ok(left) if left > Duration::ZERO => {
                let hours = left.as_secs() / HOUR.as_secs();
                tracing::warn!(%at, hours, "{what} expires; renew it, it is read again by itself");
            }
            Ok(_) | Err(_) => {
                tracing::error!(%at, "{what} has expired; renew it, it is read again by itself");
            }
        }
    }

    fn is_due(&mut self, not_after: SystemTime, now: SystemTime) -> bool {
        let left = not_after.duration_since(now).unwrap_or_default();
        let passed = AHEAD.iter().filter(|ahead| left <= **ahead).count();
        let said = self
            .said
            .filter(|(of, _)| *of == not_after)
            .map_or(0, |(_, said)| said);
        self.said = Some((not_after, passed.max(said)));
        passed > said
    }
}

/// A time as people read it, in UTC.
pub(super) fn words(at: SystemTime) -> String {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    x509_cert::der::DateTime::from_unix_duration(since).map_or_else(
        |_| format!("{} s after 1970", since.as_secs()),
        |time| time.to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_said_once_and_a_renewed_certificate_begins_anew() {
        let end = SystemTime::UNIX_EPOCH + 1000 * 24 * HOUR;
        let mut warned = Warned::default();
        let due: Vec<u32> = (0..=40 * 24)
            .rev()
            .filter(|hours| warned.is_due(end, end - *hours * HOUR))
            .collect();
        assert_eq!(due, [720, 168, 24, 12, 6, 3, 1, 0]);
        assert!(!warned.is_due(end, end + HOUR));
        assert!(!warned.is_due(end + 90 * 24 * HOUR, end));
        assert!(
            warned.is_due(end + HOUR, end),
            "a renewal that is no better"
        );
    }

    #[test]
    fn times_are_dates() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * 365 + 61);
        assert_eq!(words(at), "1971-01-01T00:01:01Z");
    }
}
