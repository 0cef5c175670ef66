//! Which platforms there are, and what each takes: the table of `launch.proto`, as code.

use std::fmt;

use stagepages_kvm::PageType;

/// A platform by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlatformKind {
    /// The model in memory.
    Sim,
    /// Plain KVM with a mappable guest_memfd.
    Kvm,
    /// AMD SEV-SNP.
    SevSnp,
    /// Intel TDX.
    Tdx,
}

impl PlatformKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sim, Self::Kvm, Self::SevSnp, Self::Tdx];

    /// Whether the guest's memory is protected from this machine.
    #[must_use]
    pub const fn confidential(self) -> bool {
        match self {
            Self::Sim | Self::Kvm => false,
            Self::SevSnp | Self::Tdx => true,
        }
    }

    /// Whether it takes the arguments of SNP_LAUNCH_FINISH.
    #[must_use]
    pub const fn takes_snp_finish(self) -> bool {
        match self {
            Self::SevSnp => true,
            Self::Sim | Self::Kvm | Self::Tdx => false,
        }
    }

    /// Length of the launch digest in bytes; 0 if there is none.
    #[must_use]
    pub const fn digest_bytes(self) -> u32 {
        match self {
            Self::Sim | Self::SevSnp | Self::Tdx => 48,
            Self::Kvm => 0,
        }
    }

    /// Whether the host can read installed pages again.
    #[must_use]
    pub const fn reads_pages(self) -> bool {
        !self.confidential()
    }

    /// Whether it has pages of this type.
    #[must_use]
    pub const fn takes(self, page_type: PageType) -> bool {
        match (self, page_type) {
            (_, PageType::Normal | PageType::Zero | PageType::Unmeasured)
            | (Self::Sim | Self::SevSnp, PageType::Secrets | PageType::Cpuid) => true,
            (Self::Kvm | Self::Tdx, PageType::Secrets | PageType::Cpuid) => false,
        }
    }
}

impl fmt::Display for PlatformKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sim => "sim",
            Self::Kvm => "kvm",
            Self::SevSnp => "sev-snp",
            Self::Tdx => "tdx",
        })
    }
}
