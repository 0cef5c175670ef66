//! Numbers, sizes and times as people read them, each with what the API says beside it.
//!
//! **Invariant:** what is rounded has the whole value in the markup too.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};
use prost_types::Timestamp;
use stagepages_proto::v1;

use crate::status_page::look::Look;

/// Of whose launches and images it is said.
pub(super) fn whose(look: &Look) -> &'static str {
    if look.named.is_some() {
        "of this tenant"
    } else {
        "of yours"
    }
}

/// With a comma before each three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// In the largest unit that leaves a whole number, or one decimal.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let nth = (63 - bytes.leading_zeros()) / 10;
    let unit = 1_u64 << (10 * nth);
    let name = usize::try_from(nth - 1).ok().and_then(|nth| UNITS.get(nth));
    let name = name.copied().unwrap_or("EiB");
    let (whole, rest) = (bytes / unit, bytes % unit);
    // In tenths, rounded down: what is shown is there.
    let tenths = u128::from(rest) * 10 / u128::from(unit);
    if tenths == 0 || whole >= 100 {
        format!("{whole} {name}")
    } else {
        format!("{whole}.{tenths} {name}")
    }
}

/// A length of time, in at most two units.
pub(super) fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    if time.is_zero() {
        "0 s".to_owned()
    } else if days > 0 {
        format!("{days} d {hours} h")
    } else if hours > 0 {
        format!("{hours} h {minutes} min")
    } else if minutes > 0 {
        format!("{minutes} min {} s", seconds % 60)
    } else if seconds >= 10 {
        format!("{seconds} s")
    } else if seconds > 0 && time.subsec_millis() >= 100 {
        format!("{}.{} s", seconds, time.subsec_millis() / 100)
    } else if seconds > 0 {
        format!("{seconds} s")
    } else if time.as_millis() >= 10
        || (time.as_millis() > 0 && time.as_micros().is_multiple_of(1000))
    {
        format!("{} ms", time.as_millis())
    } else if time.as_micros() >= 10 {
        format!("{} µs", time.as_micros())
    } else {
        format!("{} ns", time.as_nanos())
    }
}

/// A number of the API's, and where it is there.
pub(super) fn number(api: &str, number: impl Into<u64>) -> Markup {
    let number = number.into();
    html! { data value=(number) data-api=(api) { (grouped(number)) } }
}

/// A size in bytes of the API's.
pub(super) fn bytes(api: &str, bytes: u64) -> Markup {
    let whole = format!("{} bytes", grouped(bytes));
    html! { data value=(bytes) data-api=(api) data-unit="bytes" title=(whole) { (size(bytes)) } }
}

/// A length of time of the API's, which it has in seconds.
pub(super) fn seconds(api: &str, time: Option<prost_types::Duration>) -> Markup {
    let time = time
        .and_then(|time| Duration::try_from(time).ok())
        .unwrap_or_default();
    html! { data value=(time.as_secs_f64()) data-api=(api) data-unit="seconds" { (length(time)) } }
}

/// A moment, to the second; the whole of it is in the markup.
pub(super) fn moment(at: &Timestamp) -> Markup {
    let whole = at.to_string();
    let seconds = Timestamp {
        seconds: at.seconds,
        nanos: 0,
    };
    let shown = seconds.to_string().replace('T', " ").replace('Z', " UTC");
    html! { time datetime=(whole) { (shown) } }
}

/// How long ago, or in how long; the moment itself is in the markup.
pub(super) fn relative(at: &Timestamp, now: SystemTime) -> Markup {
    let whole = at.to_string();
    let near = |time: Duration| time.as_secs() == 0;
    let shown = match SystemTime::try_from(*at) {
        Ok(at) => match at.duration_since(now) {
            Ok(ahead) if near(ahead) => "now".to_owned(),
            Ok(ahead) => format!("in {}", length(rounded(ahead))),
            Err(behind) if near(behind.duration()) => "just now".to_owned(),
            Err(behind) => format!("{} ago", length(rounded(behind.duration()))),
        },
        Err(_never) => whole.clone(),
    };
    html! { time datetime=(whole) title=(whole) { (shown) } }
}

fn rounded(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs())
}

/// A platform, as flags write it.
pub(super) fn platform(platform: i32) -> &'static str {
    match v1::Platform::try_from(platform) {
        Ok(v1::Platform::Sim) => "sim",
        Ok(v1::Platform::Kvm) => "kvm",
        Ok(v1::Platform::SevSnp) => "sev-snp",
        Ok(v1::Platform::Tdx) => "tdx",
        Ok(v1::Platform::Unspecified) | Err(_) => "unknown",
    }
}

/// A state, in a word.
pub(super) fn state(state: i32) -> &'static str {
    match v1::LaunchState::try_from(state) {
        Ok(v1::LaunchState::Created) => "created",
        Ok(v1::LaunchState::Staging) => "staging",
        Ok(v1::LaunchState::Finished) => "finished",
        Ok(v1::LaunchState::Running) => "running",
        Ok(v1::LaunchState::Stopped) => "stopped",
        Ok(v1::LaunchState::Aborted) => "aborted",
        Ok(v1::LaunchState::Unspecified) | Err(_) => "unknown",
    }
}

/// A page type, in a word.
pub(super) fn page_type(page_type: v1::PageType) -> &'static str {
    match page_type {
        v1::PageType::Normal => "normal",
        v1::PageType::Zero => "zero",
        v1::PageType::Unmeasured => "unmeasured",
        v1::PageType::Secrets => "secrets",
        v1::PageType::Cpuid => "cpuid",
        v1::PageType::Unspecified => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_sizes_have_one_unit() {
        assert_eq!(
            [grouped(0), grouped(999), grouped(1_234_567)],
            ["0", "999", "1,234,567"]
        );
        let sizes = [0, 1023, 1024, 1536, (64 << 30) + 1, u64::MAX];
        let shown = sizes.map(size);
        assert_eq!(
            shown,
            ["0 B", "1023 B", "1 KiB", "1.5 KiB", "64 GiB", "15.9 EiB"]
        );
    }

    #[test]
    fn times_have_two_units_at_most() {
        let shown = [90_061, 3_661, 61, 42].map(|seconds| length(Duration::from_secs(seconds)));
        assert_eq!(shown, ["1 d 1 h", "1 h 1 min", "1 min 1 s", "42 s"]);
        let short = [2_500_000_000, 2_000_000_000, 1_000_000, 20_000, 7, 0]
            .map(|nanos| length(Duration::from_nanos(nanos)));
        assert_eq!(short, ["2.5 s", "2 s", "1 ms", "20 µs", "7 ns", "0 s"]);
    }
}
