//! What is said of a `ConfidentialLaunch`.
//!
//! **Invariant:** bounded: the console's end, not the console; never a page's contents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Condition;

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum State {
    #[default]
    Pending,
    Created,
    Staging,
    Finished,
    Running,
    Stopped,
    Aborted,
    Failed,
}

impl State {
    /// Whether nothing happens to it any more.
    pub(crate) fn is_over(self) -> bool {
        match self {
            Self::Stopped | Self::Aborted | Self::Failed => true,
            Self::Pending | Self::Created | Self::Staging | Self::Finished | Self::Running => false,
        }
    }
}

/// Its place where the machine's firmware installs one page at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Queue {
    /// Launches that go before it; 0 for the one whose turn it is.
    pub(crate) position: i64,
    /// Pages of theirs that are known and not installed.
    pub(crate) pages_ahead: i64,
    /// Seconds until all of its own known pages are expected to be installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) eta_seconds: Option<i64>,
}

/// How it stands, as the agent of its node says. What is not known is written as null, which takes it out of the object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfidentialLaunchStatus {
    /// The generation that this was said of.
    #[serde(default)]
    pub(crate) observed_generation: Option<i64>,
    /// PENDING until there is a launch, then the launch's state. FAILED where there is none and never will be.
    pub(crate) state: State,
    /// Why it is as it is: the reason of the condition that says most.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub(crate) reason: Option<String>,
    /// The node whose agent writes this.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub(crate) node: Option<String>,
    /// The device that the Pod was allotted, for example sev-snp-3.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub(crate) device: Option<String>,
    /// The uid of the Pod that it was bound to. Another Pod of the same name is another Pod.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub(crate) pod_uid: Option<String>,
    /// The launch's name in the daemon's API, launches/ID.
    #[serde(default)]
    #[schemars(length(max = 80))]
    pub(crate) launch: Option<String>,
    /// The launch's uid in the daemon's API.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub(crate) launch_uid: Option<String>,
    /// Pages that are installed.
    #[serde(default)]
    pub(crate) installed_pages: Option<i64>,
    /// Pages of the whole plan.
    #[serde(default)]
    pub(crate) total_pages: Option<i64>,
    /// The launch digest that the plan ends in; none on kvm.
    #[serde(default)]
    #[schemars(length(max = 96))]
    pub(crate) planned_digest: Option<String>,
    /// The launch digest, once it is finished; none on kvm.
    #[serde(default)]
    #[schemars(length(max = 96))]
    pub(crate) launch_digest: Option<String>,
    /// Its place in the queue, while it waits there.
    #[serde(default)]
    pub(crate) queue: Option<Queue>,
    /// What the guest wrote last to its console: printable characters and line ends, 2 KiB at most.
    #[serde(default)]
    #[schemars(length(max = 2048))]
    pub(crate) console: Option<String>,
    /// What holds: Bound, ImageReady, Planned, Staged, Finished, Running, Failed; DaemonReachable, once the daemon was away; and Aborting, where that cannot be done yet.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub(crate) conditions: Vec<Condition>,
}
