//! What a plan is made with, beside the image.

use bytes::Bytes;

use super::{Input, SevSnpOptions, TdxOptions};
use crate::{addr::Region, v1};

/// The wishes of who plans. The default is one vCPU, and what the image says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// For which platform; `None` for the one the image is for, and an error where it is for several.
    pub platform: Option<v1::Platform>,
    /// How many vCPUs, 1 to 64; `None` for as many as the image has states for, or one.
    pub vcpus: Option<u32>,
    /// The processor signature (CPUID leaf 1, EAX) that RDX of each vCPU begins with on sev-snp and sim, but where the image says how one begins; `None`
    /// for KVM's own, 0x600.
    pub cpu_signature: Option<u32>,
    /// Settings of sev-snp; for each that is not given what the image says, or the default.
    pub sev_snp: SevSnpOptions,
    /// Settings of tdx; for each that is not given what the image says, or the default.
    pub tdx: TdxOptions,
    /// The kernel whose hash an OVMF is to measure.
    pub kernel: Option<Input>,
    /// The initial RAM disk of `kernel`, or of an image that is a kernel.
    pub initrd: Option<Input>,
    /// The command line of `kernel`, or of an image that is a kernel, without a final zero byte.
    pub append: Option<String>,
    /// The guest's memory. Empty for as little as the image needs. What the image needs beyond is an error.
    pub memory: Vec<Region>,
    /// The CPUID page, 4096 bytes at most, on sev-snp; `None` for a page without leaves, which is a finding.
    pub cpuid_page: Option<Bytes>,
}
