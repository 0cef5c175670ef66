//! What a registry is asked for.
//!
//! **Invariant:** named by digest, so that what is pulled today is what was meant when the object was written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule;

/// One file of an OCI artifact.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Artifact {
    /// The artifact, pinned by digest: REGISTRY/REPOSITORY[:TAG]@sha256:DIGEST. The digest is that of its manifest.
    #[serde(rename = "ref")]
    #[schemars(length(min = 1, max = 512), extend("x-kubernetes-validations" = rule::reference()))]
    pub(crate) reference: String,
    /// Which layer, by its title (annotation org.opencontainers.image.title). May be left out where the artifact has one layer only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), extend("x-kubernetes-validations" = rule::file()))]
    pub(crate) file: Option<String>,
}

/// The format of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    Igvm,
    Elf,
    Bzimage,
    Firmware,
}
