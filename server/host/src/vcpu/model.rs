//! What a processor's registers may hold, by its CPUID.

use stagepages_kvm::CpuidTable;

pub use stagepages_digest::vcpu::CpuModel;

/// The processor that a guest with this CPUID sees.
pub(crate) fn model(table: &CpuidTable) -> CpuModel {
    CpuModel {
        linear_address_bits: table.linear_address_bits(),
        // What is beyond has no frame number, and so no memory region.
        physical_address_bits: table.physical_address_bits().clamp(32, 52),
        cr4_bits: table.cr4_bits(),
        efer_bits: table.efer_bits(),
    }
}
