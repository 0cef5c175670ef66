//! What the commands of an SEV-SNP launch take.
//!
//! **Invariant:** nothing is checked here but lengths, by type; the rest is for the kernel and the firmware to judge.

/// What `KVM_SEV_INIT2` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnpInit {
    /// Bits of SEV_FEATURES that every vCPU's save area has, out of [`Kvm::sev_vmsa_features`](crate::Kvm::sev_vmsa_features). KVM adds
    /// SNP_ACTIVE by itself.
    pub vmsa_features: u64,
    /// The version of the protocol between guest and hypervisor: 2 or more, 0 for the kernel's least.
    pub ghcb_version: u16,
}

/// What `KVM_SEV_SNP_LAUNCH_START` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnpStart {
    /// The guest policy, as in the SNP ABI. Bit 17 must be one.
    pub policy: u64,
    /// The guest's view of OS-visible workarounds.
    pub gosvw: [u8; 16],
}

/// What `KVM_SEV_SNP_LAUNCH_FINISH` takes.
#[derive(Clone, Copy, Debug)]
pub struct SnpFinish<'a> {
    /// The identity that the guest's owner signed for; the firmware compares it with the launch.
    pub id_block: Option<IdBlock<'a>>,
    /// Bytes of the host's choice, which attestation reports repeat.
    pub host_data: [u8; 32],
    /// Attestation reports are not signed by the key of the chip's version.
    pub vcek_disabled: bool,
}

/// An ID block and what vouches for it, as in the SNP ABI.
#[derive(Clone, Copy, Debug)]
pub struct IdBlock<'a> {
    /// The ID block: launch digest, family and image id, security version, policy.
    pub block: &'a [u8; 96],
    /// The ID authentication information: keys and signatures.
    pub auth: &'a [u8; 4096],
    /// The authentication information holds an author key, which the firmware then checks too.
    pub author_key: bool,
}
