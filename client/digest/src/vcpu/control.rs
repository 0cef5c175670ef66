//! Control registers, flags and memory types: which bits there are, and which go together.

use super::{CpuModel, LMA, LME, PAE, PE, PG, VM, Wrong};
use crate::vmsa::Registers;

/// PE, MP, EM, TS, ET, NE, WP, AM, NW, CD and PG.
const CR0: u64 = 0xe005_003f;
const WP: u64 = 1 << 16;
const NW: u64 = 1 << 29;
const CD: u64 = 1 << 30;

const PCIDE: u64 = 1 << 17;
const CET: u64 = 1 << 23;

/// Every flag that there is, and bit 1.
const RFLAGS: u64 = 0x3f_7fd7;

pub(super) fn check(registers: &Registers, cpu: &CpuModel) -> Result<(), Wrong> {
    let Registers { cr0, cr4, efer, .. } = *registers;
    check_cr0(cr0)?;
    let wants_long = efer & LME != 0 && cr0 & PG != 0;
    check_cr4(cr4, cr0, wants_long, cpu)?;
    let absent = efer & !cpu.efer_bits;
    if absent != 0 {
        return Err(wrong(
            "efer",
            efer,
            &format!("bits {absent:#x} are reserved, or the processor lacks them; clear them"),
        ));
    }
    if efer & LMA != 0 && !wants_long {
        return Err(wrong(
            "efer",
            efer,
            "LMA (bit 10) needs LME (bit 8) and CR0.PG (bit 31); set both, or clear it",
        ));
    }
    check_rflags(registers.general.rflags, cr0, wants_long)?;
    check_pat(registers.pat)
}

fn check_cr0(cr0: u64) -> Result<(), Wrong> {
    let reserved = cr0 & !CR0;
    let why = if reserved != 0 {
        &format!("bits {reserved:#x} are reserved; clear them")
    } else if cr0 & PG != 0 && cr0 & PE == 0 {
        "PG (bit 31) needs PE (bit 0); set both, or clear PG"
    } else if cr0 & NW != 0 && cr0 & CD == 0 {
        "NW (bit 29) needs CD (bit 30); set both, or clear NW"
    } else {
        return Ok(());
    };
    Err(wrong("cr0", cr0, why))
}

fn check_cr4(cr4: u64, cr0: u64, long: bool, cpu: &CpuModel) -> Result<(), Wrong> {
    let absent = cr4 & !cpu.cr4_bits;
    let why = if absent != 0 {
        &format!("bits {absent:#x} are reserved, or the processor lacks them; clear them")
    } else if long && cr4 & PAE == 0 {
        "64-bit mode (EFER.LME and CR0.PG) needs PAE (bit 5); set it"
    } else if cr4 & PCIDE != 0 && !long {
        "PCIDE (bit 17) needs 64-bit mode (EFER.LME and CR0.PG); clear it"
    } else if cr4 & CET != 0 && cr0 & WP == 0 {
        "CET (bit 23) needs CR0.WP (bit 16); set both, or clear CET"
    } else {
        return Ok(());
    };
    Err(wrong("cr4", cr4, why))
}

fn check_rflags(rflags: u64, cr0: u64, long: bool) -> Result<(), Wrong> {
    let reserved = rflags & !RFLAGS;
    let why = if reserved != 0 {
        &format!("bits {reserved:#x} are reserved; clear them")
    } else if rflags & VM != 0 && (long || cr0 & PE == 0) {
        "VM (bit 17) needs protection (CR0.PE) and no 64-bit mode; clear it"
    } else {
        return Ok(());
    };
    Err(wrong("rflags", rflags, why))
}

fn check_pat(pat: u64) -> Result<(), Wrong> {
    if pat
        .to_le_bytes()
        .iter()
        .all(|memory_type| matches!(memory_type, 0 | 1 | 4 | 5 | 6 | 7))
    {
        return Ok(());
    }
    Err(wrong(
        "pat",
        pat,
        "each byte is a memory type: 0, 1, 4, 5, 6 or 7",
    ))
}

fn wrong(field: &str, value: u64, why: &str) -> Wrong {
    Wrong::new(field, value, why)
}
