//! What is wished of a `ConfidentialLaunch`.
//!
//! **Invariant:** cannot be changed: a launch is made once, and what was installed cannot be taken back.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Artifact, ConfidentialLaunchStatus, Platform, Priority, Settings, rule};

/// A launch for a pod: the pod requests the resource of the platform (stagepages.dev/PLATFORM: 1), and this names the pod. The pod's node and the device that
/// its kubelet allotted to it are this launch's, so that the scheduler counts its capacity once. The agent of that node pulls, stages, finishes and starts.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "stagepages.dev",
    version = "v1alpha1",
    kind = "ConfidentialLaunch",
    namespaced,
    shortname = "cl",
    category = "stagepages",
    status = "ConfidentialLaunchStatus",
    derive = "PartialEq",
    selectable = ".spec.podName",
    doc = "A launch image, staged into a confidential VM for a Pod.",
    printcolumn(name = "Pod", type_ = "string", json_path = ".spec.podName"),
    printcolumn(name = "Platform", type_ = "string", json_path = ".spec.platform"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(
        name = "Pages",
        type_ = "integer",
        json_path = ".status.installedPages"
    ),
    printcolumn(name = "Of", type_ = "integer", json_path = ".status.totalPages"),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.node"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.reason",
        description = "Why it is as it is"
    ),
    printcolumn(
        name = "Digest",
        type_ = "string",
        json_path = ".status.launchDigest",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[expect(
    clippy::duplicated_attributes,
    reason = "each printer column has a type"
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rule::launch()))]
pub(crate) struct ConfidentialLaunchSpec {
    /// The Pod of the same namespace whose launch this is. It MUST request stagepages.dev/PLATFORM. When it ends, the launch is aborted.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rule::name()))]
    pub(crate) pod_name: String,
    /// The platform. sim and kvm are not confidential.
    pub(crate) platform: Platform,
    /// The image that is staged.
    pub(crate) image: Artifact,
    /// How the image is planned: vCPUs, memory, kernel, policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settings: Option<Settings>,
    /// Whose pages go first where the machine's firmware installs one page at a time (sev-snp, sim; no field elsewhere); normal if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<Priority>,
    /// The launch digest that the launch must end in: 48 bytes in hex. Nothing is staged where the plan ends in another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 96), extend("x-kubernetes-validations" = rule::hex(48)))]
    pub(crate) expected_launch_digest: Option<String>,
    /// Run the guest once the launch is finished.
    #[serde(default)]
    pub(crate) start: bool,
}

impl ConfidentialLaunchSpec {
    /// How the image is planned.
    pub(crate) fn settings(&self) -> Settings {
        self.settings.clone().unwrap_or_default()
    }
}
