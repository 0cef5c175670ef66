//! A file that a launch is made of.
//!
//! **Invariant:** named by digest, in a registry or on the node, so that what is taken today is what was meant when the object was written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule;

/// One file of an OCI artifact, which is named by ref or by digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rule::artifact()))]
pub(crate) struct Artifact {
    /// The artifact in its registry, pinned by digest: REGISTRY/REPOSITORY[:TAG]@sha256:DIGEST. The digest is that of its manifest. What of it is not on the node is pulled.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), extend("x-kubernetes-validations" = rule::reference()))]
    pub(crate) reference: Option<String>,
    /// The digest of its manifest alone, sha256:DIGEST, of an artifact that is on the node: a LaunchImage or an earlier launch had it pulled there. No registry is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub(crate) digest: Option<String>,
    /// Which layer, by its title (annotation org.opencontainers.image.title). May be left out where the artifact has one layer only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), extend("x-kubernetes-validations" = rule::file()))]
    pub(crate) file: Option<String>,
}

impl Artifact {
    /// As it is named.
    pub(crate) fn name(&self) -> &str {
        let name = self.reference.as_deref().or(self.digest.as_deref());
        name.unwrap_or_default()
    }
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
