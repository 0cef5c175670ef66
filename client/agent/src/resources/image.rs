//! `LaunchImage`: an image that nodes pull before anybody needs it, and the digests that launches of it end in.
//!
//! **Invariant:** each node writes its own entry and no other.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Artifact, Platform, Settings, Truth, rule};

/// An image that the agents of the nodes with these labels pull and keep while there is room, and the launch digests that it ends in.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "stagepages.dev",
    version = "v1alpha1",
    kind = "LaunchImage",
    shortname = "li",
    category = "stagepages",
    status = "LaunchImageStatus",
    derive = "PartialEq",
    doc = "An image that nodes pull before a launch needs it.",
    printcolumn(name = "Platform", type_ = "string", json_path = ".spec.platform"),
    printcolumn(name = "Ref", type_ = "string", json_path = ".spec.image.ref"),
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
#[schemars(extend("x-kubernetes-validations" = rule::image()))]
pub(crate) struct LaunchImageSpec {
    /// The platform that it is planned for.
    pub(crate) platform: Platform,
    /// The image.
    pub(crate) image: Artifact,
    /// Labels that a node must have, all of them. Every node with an agent if there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels")]
    pub(crate) node_selector: BTreeMap<String, String>,
    /// How it is planned, so that its digests can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settings: Option<Settings>,
    /// For which numbers of vCPUs digests are told; as many as the image says if none is given. No field on kvm, which measures nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(range(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub(crate) vcpus: Vec<i32>,
}

/// Labels, as Kubernetes bounds them.
fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 63 },
    })
}

/// How it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LaunchImageStatus {
    /// One entry for each node that was selected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["node"]))]
    pub(crate) nodes: Vec<NodeImage>,
    /// The launch digests, by number of vCPUs. None on kvm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["vcpus"]))]
    pub(crate) expected_digests: Vec<DigestOfVcpus>,
}

/// One node, as its agent says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeImage {
    /// The node.
    #[schemars(length(min = 1, max = 253))]
    pub(crate) node: String,
    /// Whether it has the image.
    pub(crate) ready: Truth,
    /// Why, for programs.
    #[schemars(length(min = 1, max = 64))]
    pub(crate) reason: String,
    /// Why, for people, and what would mend it.
    #[schemars(length(max = 1024))]
    pub(crate) message: String,
    /// Bytes of all its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<i64>,
    /// Since when.
    pub(crate) last_transition_time: Time,
}

/// What a launch with so many vCPUs ends in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DigestOfVcpus {
    /// How many.
    #[schemars(range(min = 1, max = 64))]
    pub(crate) vcpus: i32,
    /// The launch digest in hex.
    #[schemars(length(max = 96))]
    pub(crate) digest: String,
}
