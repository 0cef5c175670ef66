//! What holds of an object and what does not.
//!
//! **Invariant:** one condition of each type; the time of a condition changes exactly when its truth does.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest message.
const MESSAGE: usize = 1024;

/// Whether it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Truth {
    True,
    False,
    Unknown,
}

/// What holds, or does not, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    /// What this is about.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64))]
    pub(crate) kind: String,
    /// Whether it holds.
    pub(crate) status: Truth,
    /// Why, for programs: a reason of the API of stagepages where it is its.
    #[schemars(length(min = 1, max = 64))]
    pub(crate) reason: String,
    /// Why, for people: what is wrong, and what would mend it.
    #[schemars(length(max = 1024))]
    pub(crate) message: String,
    /// The generation of the object that this was said of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) observed_generation: Option<i64>,
    /// Since when.
    pub(crate) last_transition_time: Time,
}

impl Condition {
    /// One that is new at `now`.
    pub(crate) fn new(
        kind: &str,
        status: Truth,
        reason: &str,
        message: impl AsRef<str>,
        now: Timestamp,
    ) -> Self {
        Self {
            kind: kind.to_owned(),
            status,
            reason: reason.to_owned(),
            message: bounded(message.as_ref(), MESSAGE),
            observed_generation: None,
            last_transition_time: Time(now),
        }
    }
}

/// Puts `condition` into `all`. The time of one that says the same of the same truth is kept.
pub(crate) fn set(all: &mut Vec<Condition>, mut condition: Condition) {
    match all.iter_mut().find(|it| it.kind == condition.kind) {
        Some(old) => {
            if old.status == condition.status {
                condition.last_transition_time = old.last_transition_time.clone();
            }
            *old = condition;
        }
        None => all.push(condition),
    }
}

/// `text`, cut to this many bytes, with a sign where it was.
pub(crate) fn bounded(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let room = most.saturating_sub('…'.len_utf8());
    let end = { (0..=room).rev() }
        .find(|it| text.is_char_boundary(*it))
        .unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64, status: Truth, message: &str) -> Condition {
        let now = Timestamp::from_second(second).unwrap();
        Condition::new("Staged", status, "SOME", message, now)
    }

    #[test]
    fn the_time_is_that_of_the_last_change_of_truth() {
        let mut all = Vec::new();
        set(&mut all, at(1, Truth::False, "a"));
        set(&mut all, at(2, Truth::False, "b"));
        assert_eq!(all, [at(1, Truth::False, "b")]);
        set(&mut all, at(3, Truth::True, "c"));
        assert_eq!(all, [at(3, Truth::True, "c")]);
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        let long = "ä".repeat(MESSAGE);
        let cut = at(1, Truth::True, &long).message;
        assert!(cut.len() <= MESSAGE && cut.ends_with("ä…"));
        assert_eq!(bounded("abc", 3), "abc");
    }
}
