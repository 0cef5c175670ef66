//! What confidential launches are made and finished with, field by field. From version 4 on.
//!
//! Numbers that do not fit travel as they were given: the host refuses them, and names the field.

use std::fmt;

/// What an SEV-SNP launch is made with.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SevSnp {
    /// The guest policy as its number; unset for the default.
    #[prost(uint64, optional, tag = "1")]
    pub policy: Option<u64>,
    /// SEV_FEATURES of every save area.
    #[prost(uint64, tag = "2")]
    pub vmsa_features: u64,
    /// The GHCB protocol; 0 for the default.
    #[prost(uint32, tag = "3")]
    pub ghcb_version: u32,
    /// 16 bytes, or none for zeros.
    #[prost(bytes = "vec", tag = "4")]
    pub gosvw: Vec<u8>,
    /// The caller gave the policy by named bits, which are blamed for it then.
    #[prost(bool, tag = "5")]
    pub policy_named: bool,
}

/// What a TDX launch is made with.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Tdx {
    /// TD attributes; unset for the default.
    #[prost(uint64, optional, tag = "1")]
    pub attributes: Option<u64>,
    /// Extended features; unset for the default.
    #[prost(uint64, optional, tag = "2")]
    pub xfam: Option<u64>,
    /// 48 bytes, or none for zeros.
    #[prost(bytes = "vec", tag = "3")]
    pub mrconfigid: Vec<u8>,
    /// 48 bytes, or none for zeros.
    #[prost(bytes = "vec", tag = "4")]
    pub mrowner: Vec<u8>,
    /// 48 bytes, or none for zeros.
    #[prost(bytes = "vec", tag = "5")]
    pub mrownerconfig: Vec<u8>,
    /// Configured leaves; none for the default.
    #[prost(message, repeated, tag = "6")]
    pub cpuid: Vec<CpuidLeaf>,
}

/// One CPUID leaf.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct CpuidLeaf {
    /// The leaf.
    #[prost(uint32, tag = "1")]
    pub function: u32,
    /// The subleaf.
    #[prost(uint32, tag = "2")]
    pub index: u32,
    /// The answer.
    #[prost(uint32, tag = "3")]
    pub eax: u32,
    /// The answer.
    #[prost(uint32, tag = "4")]
    pub ebx: u32,
    /// The answer.
    #[prost(uint32, tag = "5")]
    pub ecx: u32,
    /// The answer.
    #[prost(uint32, tag = "6")]
    pub edx: u32,
}

/// What SNP_LAUNCH_FINISH is given.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SevSnpFinish {
    /// 96 bytes, or none.
    #[prost(bytes = "vec", tag = "1")]
    pub id_block: Vec<u8>,
    /// 4096 bytes, or none.
    #[prost(bytes = "vec", tag = "2")]
    pub id_auth: Vec<u8>,
    /// `id_auth` has an author key to be checked.
    #[prost(bool, tag = "3")]
    pub author_key: bool,
    /// 32 bytes, or none for zeros.
    #[prost(bytes = "vec", tag = "4")]
    pub host_data: Vec<u8>,
    /// No reports by the chip's own key.
    #[prost(bool, tag = "5")]
    pub vcek_disabled: bool,
}

/// Asks for the CPUID page that firmware refused last.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct GetRejectedCpuid {}

/// A CPUID page that firmware refused.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct RejectedCpuid {
    /// Its address.
    #[prost(uint64, tag = "1")]
    pub gpa: u64,
    /// As it was submitted, 4096 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub submitted: Vec<u8>,
    /// As firmware would have it, 4096 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub corrected: Vec<u8>,
}

impl fmt::Debug for RejectedCpuid {
    /// Without the pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RejectedCpuid")
            .field("gpa", &self.gpa)
            .finish_non_exhaustive()
    }
}

/// What KVM takes here, by platform.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Facts {
    /// SEV-SNP.
    #[prost(message, optional, tag = "1")]
    pub sev_snp: Option<SevSnpFacts>,
    /// TDX: attributes and features that it may have, and the leaves and bits that can be configured.
    #[prost(message, optional, tag = "2")]
    pub tdx: Option<Tdx>,
    /// Guests that the hardware can hold.
    #[prost(message, optional, tag = "3")]
    pub capacity: Option<Capacity>,
}

/// What KVM takes of [`SevSnp`].
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct SevSnpFacts {
    /// Policy bits; unset where the kernel does not say.
    #[prost(uint64, optional, tag = "1")]
    pub policy_bits: Option<u64>,
    /// SEV_FEATURES.
    #[prost(uint64, tag = "2")]
    pub vmsa_features: u64,
}

/// Guests that the hardware can hold.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Capacity {
    /// All.
    #[prost(uint64, tag = "1")]
    pub total: u64,
    /// In use, by whomever.
    #[prost(uint64, tag = "2")]
    pub in_use: u64,
}
