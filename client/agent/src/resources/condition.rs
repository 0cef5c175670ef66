//! What holds of an object and what does not.
//!
//! **Invariant:** one condition of each type; the time of a condition changes exactly when its truth does.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
