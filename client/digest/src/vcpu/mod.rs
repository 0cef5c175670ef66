//! What a vCPU's registers may hold when it begins: the launch host refuses the rest, and so does who plans a launch, by the same rules.
//!
//! Checked is what a processor refuses when it enters a guest (Intel SDM volume 3, section 27.3.1; AMD APM volume 2, section 15.5.1), and what
//! KVM refuses when registers are set (`kvm_is_valid_sregs()`, arch/x86/kvm/x86.c, Linux 6.18). KVM checks little itself: what is let through
//! here ends, at the first instruction, in an exit that names no register.
//!
//! **Invariant:** judges registers, and changes none but for the two bits that follow from others.

mod addresses;
mod control;
mod cpu;
mod segments;
mod wrong;

use std::fmt;

use crate::vmsa::Registers;

pub use addresses::{canonical, check_cr3};
pub use cpu::CpuModel;
pub use wrong::{Wrong, sixteen_bits};

/// CR0.PE: protection.
const PE: u64 = 1;
/// CR0.ET, which is always one.
const ET: u64 = 1 << 4;
/// CR0.PG: paging.
const PG: u64 = 1 << 31;
/// CR4.PAE: page table entries of 64 bits.
const PAE: u64 = 1 << 5;
/// EFER.LME: 64-bit mode is wanted.
const LME: u64 = 1 << 8;
/// EFER.LMA: 64-bit mode is there, exactly when it is wanted and CR0.PG is set.
const LMA: u64 = 1 << 10;
/// RFLAGS.VM: virtual-8086 mode.
const VM: u64 = 1 << 17;
/// Attributes, L: 64-bit code.
const L: u16 = 1 << 13;

/// The guest's memory, in which page tables have to be.
pub trait GuestMemory: fmt::Debug {
    /// Whether the page at this address, a multiple of 4096, is in it.
    fn holds_page(&self, gpa: u64) -> bool;
}

/// What registers are held against.
#[derive(Debug)]
pub struct Rules<'a> {
    /// The processor that the guest sees.
    pub cpu: CpuModel,
    /// The guest's memory.
    pub memory: &'a dyn GuestMemory,
}

/// The registers with the bits that follow from the rest, so that a set with them and one without mean, and measure, the same: CR0.ET and EFER.LMA.
#[must_use]
pub fn completed(mut registers: Registers) -> Registers {
    let long = registers.efer & LME != 0 && registers.cr0 & PG != 0;
    registers.cr0 |= ET;
    registers.efer = registers.efer & !LMA | if long { LMA } else { 0 };
    registers
}

/// Checks every register, and completes them.
///
/// # Errors
/// The first that is wrong.
pub fn checked(registers: Registers, rules: &Rules<'_>) -> Result<Registers, Wrong> {
    control::check(&registers, &rules.cpu)?;
    let registers = completed(registers);
    segments::check(&registers)?;
    addresses::check(&registers, rules)?;
    Ok(registers)
}

/// Whether the processor is in 64-bit mode, or in its compatibility mode.
fn is_long(registers: &Registers) -> bool {
    registers.efer & LMA != 0
}

/// Whether its code is 64-bit code.
fn is_64_bit(registers: &Registers) -> bool {
    is_long(registers) && registers.cs.attributes & L != 0
}
