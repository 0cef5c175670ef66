//! What an image is planned with, as `stagectl stage` takes it on its command line.
//!
//! **Invariant:** what is not given is left to the image, then to the daemon; the same words make the same plan here and there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Artifact, Format, rule};

/// A platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Platform {
    SevSnp,
    Tdx,
    Kvm,
    Sim,
}

/// Whose pages go first where the machine's firmware installs one page at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Priority {
    Low,
    Normal,
    High,
}

/// How an image is planned. Each that is not given is what the image says, or the daemon's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Settings {
    /// Take the image for this format, whatever its bytes say. Manifests of stagepages are not taken: they name files of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<Format>,
    /// How many vCPUs; as many as the image says, or 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub(crate) vcpus: Option<i32>,
    /// The vCPUs' type, whose processor signature is measured on sev-snp: EPYC-v4, EPYC-Milan, …, FAMILY:MODEL:STEPPING or the signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub(crate) vcpu_type: Option<String>,
    /// A kernel; where firmware measures its hashes (OVMF with a hash page), they are put there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kernel: Option<Artifact>,
    /// The initial RAM disk of a kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) initrd: Option<Artifact>,
    /// The command line of a kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub(crate) append: Option<String>,
    /// Memory regions of the guest, GPA+SIZE, for example 0x0+1G. As little as the image needs if none is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 3, max = 48)), extend("x-kubernetes-validations" = rule::regions()))]
    pub(crate) memory: Vec<String>,
    /// The CPUID page of a guest on sev-snp or sim: a file of 4096 bytes at most. A page without leaves if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cpuid_page: Option<Artifact>,
    /// Settings of sev-snp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sev_snp: Option<SevSnp>,
    /// Settings of tdx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tdx: Option<Tdx>,
}

/// Settings of sev-snp.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SevSnp {
    /// The guest policy: a number, or names with commas between, for example smt,abi=1.55.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub(crate) policy: Option<String>,
    /// SEV_FEATURES of every vCPU's save area, beside SNP_ACTIVE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), extend("x-kubernetes-validations" = rule::number()))]
    pub(crate) vmsa_features: Option<String>,
    /// The newest GHCB protocol that the guest may negotiate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 65535))]
    pub(crate) ghcb_version: Option<i32>,
    /// Guest OS visible workarounds: 16 bytes in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = rule::hex(16)))]
    pub(crate) gosvw: Option<String>,
}

/// Settings of tdx.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Tdx {
    /// TD attributes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), extend("x-kubernetes-validations" = rule::number()))]
    pub(crate) attributes: Option<String>,
    /// Extended features that the guest may use, as XCR0 and IA32_XSS have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), extend("x-kubernetes-validations" = rule::number()))]
    pub(crate) xfam: Option<String>,
    /// Id of the guest's configuration: 48 bytes in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 96), extend("x-kubernetes-validations" = rule::hex(48)))]
    pub(crate) mrconfigid: Option<String>,
    /// Id of the guest's owner: 48 bytes in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 96), extend("x-kubernetes-validations" = rule::hex(48)))]
    pub(crate) mrowner: Option<String>,
    /// Id of the owner's configuration: 48 bytes in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 96), extend("x-kubernetes-validations" = rule::hex(48)))]
    pub(crate) mrownerconfig: Option<String>,
    /// CPUID leaves of the guest, FUNCTION[.INDEX]:EAX:EBX:ECX:EDX, for example 0x80000008:0x300000:0:0:0. Every configurable leaf as KVM has it if none
    /// is given; if any is, 0x80000008 must be too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 9, max = 96)))]
    pub(crate) cpuid: Vec<String>,
}
