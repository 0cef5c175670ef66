//! The API's enum values as the words that the documents use: `sev-snp`, `STAGING`, `NORMAL`.
//!
//! **Invariant:** a value that a newer daemon made up is shown by its number, never taken for another.

use std::borrow::Cow;

use stagepages_proto::v1::{
    AbortReason, ConsolePort, FindingKind, LaunchState, OrderingMode, PageType, Platform,
    StopReason,
};

/// A platform: `sim`, `kvm`, `sev-snp`, `tdx`.
#[must_use]
pub fn platform(value: i32) -> Cow<'static, str> {
    match word::<Platform>(value, "PLATFORM_", |value| value.as_str_name()) {
        Cow::Borrowed(word) => Cow::Owned(word.to_ascii_lowercase().replace('_', "-")),
        unknown @ Cow::Owned(_) => unknown,
    }
}

/// A launch's state: `CREATED`, `STAGING`, …
#[must_use]
pub fn launch_state(value: i32) -> Cow<'static, str> {
    word::<LaunchState>(value, "LAUNCH_STATE_", |value| value.as_str_name())
}

/// An ordering mode: `UNORDERED`, which is also what an unset one means, or `SEQUENCED`.
#[must_use]
pub fn ordering(value: i32) -> Cow<'static, str> {
    match value {
        0 => Cow::Borrowed("UNORDERED"),
        _ => word::<OrderingMode>(value, "ORDERING_MODE_", |value| value.as_str_name()),
    }
}

/// A page type: `NORMAL`, `ZERO`, …
#[must_use]
pub fn page_type(value: i32) -> Cow<'static, str> {
    word::<PageType>(value, "PAGE_TYPE_", |value| value.as_str_name())
}

/// Why a launch was aborted: `REQUESTED`, `HOST_DIED`, …
#[must_use]
pub fn abort_reason(value: i32) -> Cow<'static, str> {
    word::<AbortReason>(value, "ABORT_REASON_", |value| value.as_str_name())
}

/// Why a guest stopped: `HALTED`, `EXIT_CODE`, …
#[must_use]
pub fn stop_reason(value: i32) -> Cow<'static, str> {
    word::<StopReason>(value, "STOP_REASON_", |value| value.as_str_name())
}

/// Where a guest writes to: `SERIAL` or `DEBUG`.
#[must_use]
pub fn console_port(value: i32) -> Cow<'static, str> {
    word::<ConsolePort>(value, "CONSOLE_PORT_", |value| value.as_str_name())
}

/// How a page differs from the ledger: `MISSING`, `STRAY`, `CONTENTS`.
#[must_use]
pub fn finding(value: i32) -> Cow<'static, str> {
    word::<FindingKind>(value, "FINDING_KIND_", |value| value.as_str_name())
}

/// The page type of this word, as error metadata has it, with or without the enum's prefix.
#[must_use]
pub fn parse_page_type(word: &str) -> Option<PageType> {
    PageType::from_str_name(&format!(
        "PAGE_TYPE_{}",
        word.trim_start_matches("PAGE_TYPE_")
    ))
}

/// The state of this word, as error metadata has it, with or without the enum's prefix.
#[must_use]
pub fn parse_launch_state(word: &str) -> Option<LaunchState> {
    LaunchState::from_str_name(&format!(
        "LAUNCH_STATE_{}",
        word.trim_start_matches("LAUNCH_STATE_")
    ))
}

fn word<E: TryFrom<i32>>(
    value: i32,
    prefix: &str,
    name: fn(&E) -> &'static str,
) -> Cow<'static, str> {
    match E::try_from(value) {
        Ok(known) => {
            let name = name(&known);
            Cow::Borrowed(name.strip_prefix(prefix).unwrap_or(name))
        }
        Err(_) => Cow::Owned(format!("{value} (unknown to this client)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_documents() {
        assert_eq!(platform(Platform::SevSnp.into()), "sev-snp");
        assert_eq!(launch_state(LaunchState::Staging.into()), "STAGING");
        assert_eq!(page_type(PageType::Cpuid.into()), "CPUID");
        assert_eq!(ordering(OrderingMode::Sequenced.into()), "SEQUENCED");
        assert_eq!(ordering(0), "UNORDERED");
        assert_eq!(platform(99), "99 (unknown to this client)");
    }

    #[test]
    fn words_are_read_back_with_and_without_prefix() {
        assert_eq!(parse_page_type("NORMAL"), Some(PageType::Normal));
        assert_eq!(parse_page_type("PAGE_TYPE_ZERO"), Some(PageType::Zero));
        assert_eq!(parse_launch_state("ABORTED"), Some(LaunchState::Aborted));
        assert_eq!(parse_page_type("VMSA"), None);
    }
}
