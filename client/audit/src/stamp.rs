//! When something happened: RFC 3339 in UTC with nanoseconds, which sorts as text.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A time as records have it, such as `2026-08-21T09:30:00.000000001Z`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(String);

/// Days of 400 years, after which the calendar repeats.
const ERA: u64 = 146_097;

/// Days from 0000-03-01 to 1970-01-01.
const TO_EPOCH: u64 = 719_468;

impl Stamp {
    /// Now, as this machine's clock has it.
    #[must_use]
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<SystemTime> for Stamp {
    /// A clock before 1970 or after 9999 is one that was never set, and shows the nearest of these.
    fn from(time: SystemTime) -> Self {
        const LAST: u64 = 253_402_300_799; // 9999-12-31T23:59:59Z
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs().min(LAST);
        let (day, second) = (seconds / 86_400, seconds % 86_400);
        // Years begin with March here, so that the day that some have more is the last one.
        let days = day + TO_EPOCH;
        let (era, of_era) = (days / ERA, days % ERA);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let (month, later) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        let year = era * 400 + year + later;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let nanos = since.subsec_nanos();
        Self(format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z"
        ))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stamp_is_the_time_that_others_write(seconds in 0_u64..=253_402_300_799, nanos in 1_u32..1_000_000_000) {
            let time = UNIX_EPOCH + Duration::new(seconds, nanos);
            let stamp = Stamp::from(time).to_string();
            // It leaves out zeros in groups of three.
            let theirs = prost_types::Timestamp::from(time).to_string();
            let (theirs, fraction) = theirs.trim_end_matches('Z').split_once('.').unwrap();
            prop_assert_eq!(stamp, format!("{theirs}.{fraction:0<9}Z"));
        }
    }

    #[test]
    fn a_clock_that_was_never_set_is_no_reason_to_fail() {
        let early = Stamp::from(UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(early.as_str(), "1970-01-01T00:00:00.000000000Z");
        let late = Stamp::from(UNIX_EPOCH + Duration::from_secs(1 << 50));
        assert!(late.as_str().starts_with("9999-12-31T23:59:59"), "{late}");
    }
}
