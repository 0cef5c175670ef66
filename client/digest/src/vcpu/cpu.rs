//! What a processor's registers may hold.

/// The processor that a guest sees, as far as the states of its vCPUs depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuModel {
    /// Bits of a linear address: 48, or 57 where CR4.LA57 can be set.
    pub linear_address_bits: u32,
    /// Bits of a guest-physical address, 32 to 52.
    pub physical_address_bits: u32,
    /// The bits that CR4 may have.
    pub cr4_bits: u64,
    /// The bits that EFER may have.
    pub efer_bits: u64,
}

impl CpuModel {
    /// A processor with all that any has, for who does not know the one that a launch will run on: five-level paging too.
    #[must_use]
    pub const fn any() -> Self {
        let generous = Self::generous();
        Self {
            linear_address_bits: 57,
            cr4_bits: generous.cr4_bits | 1 << 12,
            ..generous
        }
    }

    /// A processor with everything that states are commonly made for, so that a model takes what some real machine takes: 48 bits of linear and
    /// 52 of physical address; all of CR4 that is defined but five-level paging (12), SMX (14), protection keys for supervisor pages
    /// (24) and user interrupts (25); all of EFER that is defined, SVME (12) among it, which every SEV-SNP save area has set.
    #[must_use]
    pub const fn generous() -> Self {
        Self {
            linear_address_bits: 48,
            physical_address_bits: 52,
            cr4_bits: 0x10f7_2fff,
            efer_bits: 0x20_dd01,
        }
    }
}
