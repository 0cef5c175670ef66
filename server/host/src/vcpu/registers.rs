//! All registers of a vCPU, as its first instruction finds them, and what they say of its mode.
//!
//! They are those that a launch digest is foretold from: what is checked here is what is set, and what is measured.

pub use stagepages_digest::vmsa::Registers;

/// CR0.PE: protection.
pub(super) const PE: u64 = 1;
/// CR0.PG: paging.
pub(super) const PG: u64 = 1 << 31;
/// CR4.PAE: page table entries of 64 bits.
pub(super) const PAE: u64 = 1 << 5;
/// EFER.LME: 64-bit mode is wanted.
pub(super) const LME: u64 = 1 << 8;
/// EFER.LMA: 64-bit mode is there, exactly when it is wanted and CR0.PG is set.
pub(super) const LMA: u64 = 1 << 10;
/// RFLAGS.VM: virtual-8086 mode.
pub(super) const VM: u64 = 1 << 17;
/// Attributes, L: 64-bit code.
pub(super) const L: u16 = 1 << 13;

/// Whether the processor is in 64-bit mode, or in its compatibility mode.
pub(super) fn is_long(registers: &Registers) -> bool {
    registers.efer & LMA != 0
}

/// Whether its code is 64-bit code.
pub(super) fn is_64_bit(registers: &Registers) -> bool {
    is_long(registers) && registers.cs.attributes & L != 0
}
