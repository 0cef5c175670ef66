//! Addresses in registers: linear ones are canonical, physical ones exist.

use super::{PAE, PG, Rules, Wrong, is_64_bit, is_long};
use crate::vmsa::Registers;

const PAGE_SIZE: u64 = 4096;

const LA57: u64 = 1 << 12;
const PCIDE: u64 = 1 << 17;
/// PWT and PCD: how the top page table is cached.
const CACHING: u64 = 1 << 3 | 1 << 4;

pub(super) fn check(registers: &Registers, rules: &Rules<'_>) -> Result<(), Wrong> {
    let bits = if registers.cr4 & LA57 != 0 {
        rules.cpu.linear_address_bits
    } else {
        48
    };
    let general = &registers.general;
    for (field, value) in [("rip", general.rip), ("rsp", general.rsp)] {
        if is_64_bit(registers) {
            canonical(field, value, bits)?;
        } else {
            thirty_two_bits(field, value, "outside 64-bit code it has 32 bits")?;
        }
    }
    for (field, segment) in [
        ("fs.base", &registers.fs),
        ("gs.base", &registers.gs),
        ("tr.base", &registers.tr),
        ("ldtr.base", &registers.ldtr),
    ] {
        canonical(field, segment.base, bits)?;
    }
    canonical("gdtr.base", registers.gdtr.base, bits)?;
    canonical("idtr.base", registers.idtr.base, bits)?;
    for (field, segment) in [
        ("cs.base", &registers.cs),
        ("ss.base", &registers.ss),
        ("ds.base", &registers.ds),
        ("es.base", &registers.es),
    ] {
        thirty_two_bits(field, segment.base, "it has 32 bits")?;
    }
    check_cr3(registers, rules)
}

/// Bit `bits - 1` and all above are alike.
///
/// # Errors
/// They are not.
pub fn canonical(field: &str, value: u64, bits: u32) -> Result<(), Wrong> {
    let top = bits.clamp(1, 64) - 1;
    let above = value >> top;
    if above == 0 || above == u64::MAX >> top {
        return Ok(());
    }
    let why = format!(
        "it is not canonical; bits {top} to 63 have to be alike, for linear addresses have {bits} bits"
    );
    Err(Wrong::new(field, value, why))
}

fn thirty_two_bits(field: &str, value: u64, why: &str) -> Result<(), Wrong> {
    if value <= u32::MAX.into() {
        return Ok(());
    }
    Err(Wrong::new(
        field,
        value,
        format!("{why}; give 0x0 to 0xffffffff"),
    ))
}

/// With paging on, the top page table is where its mode says, and in the guest's memory.
///
/// # Errors
/// It is not.
pub fn check_cr3(registers: &Registers, rules: &Rules<'_>) -> Result<(), Wrong> {
    let Registers { cr0, cr3, cr4, .. } = *registers;
    let wrong = |why: &str| Err(Wrong::new("cr3", cr3, why));
    let width = rules.cpu.physical_address_bits;
    if cr3 >> width != 0 {
        return wrong(&format!(
            "physical addresses have {width} bits; clear those above"
        ));
    }
    if cr0 & PG == 0 {
        return Ok(());
    }
    let (aligned, allowed) = if is_long(registers) {
        let process = if cr4 & PCIDE != 0 { 0xfff } else { CACHING };
        (PAGE_SIZE, process)
    } else if cr4 & PAE != 0 {
        (32, CACHING)
    } else {
        (PAGE_SIZE, CACHING)
    };
    let low = cr3 & (aligned - 1);
    if low & !allowed != 0 {
        return wrong(&format!(
            "the page table's address is a multiple of {aligned:#x} bytes; of the bits below, {allowed:#x} may be set"
        ));
    }
    if !is_long(registers) && cr3 > u32::MAX.into() {
        return wrong("outside 64-bit mode it has 32 bits; put the page table below 4 GiB");
    }
    if rules.memory.holds_page(cr3 / PAGE_SIZE * PAGE_SIZE) {
        Ok(())
    } else {
        wrong("the page table is in no memory region of the launch; put it into one")
    }
}
