//! What a TDX launch is made with.
//!
//! **Invariant:** what was given is never changed to fit a machine; it is refused there.

mod choose;
#[cfg(test)]
mod tests;

use stagepages_kvm::{CpuidLeaf, TdxCapabilities};

use super::exactly;
use crate::{launch::Refusal, protocol};

/// The settings as they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdxSettings {
    /// TD attributes; `None` for the default.
    pub attributes: Option<u64>,
    /// Extended features; `None` for all that KVM takes.
    pub xfam: Option<u64>,
    /// The id of the guest's configuration.
    pub mrconfigid: [u8; 48],
    /// The id of its owner.
    pub mrowner: [u8; 48],
    /// The id of the owner's configuration.
    pub mrownerconfig: [u8; 48],
    /// Leaves to configure; none for the default of each.
    pub cpuid: Vec<CpuidEntry>,
}

/// One CPUID leaf: of settings the answer, of capabilities the bits that can be configured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuidEntry {
    /// The leaf.
    pub function: u32,
    /// The subleaf.
    pub index: u32,
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

/// What KVM takes (`KVM_TDX_CAPABILITIES`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TdxInfo {
    /// Attributes that a TD may have.
    pub attributes: u64,
    /// Extended features that a TD may have.
    pub xfam: u64,
    /// The leaves that can be configured, with the bits that can be.
    pub cpuid: Vec<CpuidEntry>,
}

impl Default for TdxSettings {
    fn default() -> Self {
        Self {
            attributes: None,
            xfam: None,
            mrconfigid: [0; 48],
            mrowner: [0; 48],
            mrownerconfig: [0; 48],
            cpuid: Vec::new(),
        }
    }
}

impl TdxSettings {
    /// Takes the message.
    ///
    /// # Errors
    /// `InvalidLaunch` with the field that has the wrong length.
    pub fn new(given: &protocol::Tdx) -> Result<Self, Refusal> {
        Ok(Self {
            attributes: given.attributes,
            xfam: given.xfam,
            mrconfigid: exactly("tdx.mrconfigid", &given.mrconfigid)?,
            mrowner: exactly("tdx.mrowner", &given.mrowner)?,
            mrownerconfig: exactly("tdx.mrownerconfig", &given.mrownerconfig)?,
            cpuid: given.cpuid.iter().map(CpuidEntry::from).collect(),
        })
    }
}

impl From<&TdxCapabilities> for TdxInfo {
    fn from(capabilities: &TdxCapabilities) -> Self {
        let TdxCapabilities {
            supported_attributes,
            supported_xfam,
            cpuid,
        } = capabilities;
        Self {
            attributes: *supported_attributes,
            xfam: *supported_xfam,
            cpuid: cpuid.entries().map(CpuidEntry::from).collect(),
        }
    }
}

impl From<stagepages_kvm::CpuidEntry> for CpuidEntry {
    fn from(entry: stagepages_kvm::CpuidEntry) -> Self {
        let CpuidLeaf { eax, ebx, ecx, edx } = entry.leaf;
        Self {
            function: entry.function,
            index: entry.index.unwrap_or(0),
            eax,
            ebx,
            ecx,
            edx,
        }
    }
}

impl From<CpuidEntry> for stagepages_kvm::CpuidEntry {
    /// Every index counts, as in [`TdxCapabilities::cpuid`].
    fn from(entry: CpuidEntry) -> Self {
        let CpuidEntry {
            function,
            index,
            eax,
            ebx,
            ecx,
            edx,
        } = entry;
        Self {
            function,
            index: Some(index),
            leaf: CpuidLeaf { eax, ebx, ecx, edx },
        }
    }
}

impl From<&protocol::CpuidLeaf> for CpuidEntry {
    fn from(leaf: &protocol::CpuidLeaf) -> Self {
        let protocol::CpuidLeaf {
            function,
            index,
            eax,
            ebx,
            ecx,
            edx,
        } = *leaf;
        Self {
            function,
            index,
            eax,
            ebx,
            ecx,
            edx,
        }
    }
}

impl From<&CpuidEntry> for protocol::CpuidLeaf {
    fn from(entry: &CpuidEntry) -> Self {
        let CpuidEntry {
            function,
            index,
            eax,
            ebx,
            ecx,
            edx,
        } = *entry;
        Self {
            function,
            index,
            eax,
            ebx,
            ecx,
            edx,
        }
    }
}
