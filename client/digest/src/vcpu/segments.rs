//! Segment registers: what their hidden parts may be.
//!
//! The rules are those of a processor that runs real mode as it is ("unrestricted guest", every Intel processor since 2010; AMD's check less).
//! The accessed bit of a type is not asked for, because KVM sets it (`vmx_set_segment()`, `arch/x86/kvm/vmx/vmx.c`), and selectors are not
//! held against privilege levels, which a processor looks at only when it loads one.

use super::{L, PE, VM, Wrong, is_long};
use crate::vmsa::{Registers, Segment};

/// Attributes, S: code or data.
const S: u16 = 1 << 4;
/// Attributes, P: present.
const P: u16 = 1 << 7;
/// Attributes, D/B: 32-bit code.
const DB: u16 = 1 << 14;
/// Attributes, G: the limit counts pages.
const G: u16 = 1 << 15;
/// Attributes that there are not. A VMSA packs bits 12 to 15 into them.
const RESERVED: u16 = 0x0f00;
/// Attributes of every segment in virtual-8086 mode: data that can be written, ring 3.
const VIRTUAL_8086: u16 = 0xf3;
/// A selector's TI: its descriptor is in the local table.
const TI: u16 = 1 << 2;

pub(super) fn check(registers: &Registers) -> Result<(), Wrong> {
    let Registers {
        cs,
        ds,
        es,
        fs,
        gs,
        ss,
        tr,
        ldtr,
        ..
    } = registers;
    let all = [
        ("cs", cs),
        ("ss", ss),
        ("ds", ds),
        ("es", es),
        ("fs", fs),
        ("gs", gs),
    ];
    for (name, segment) in all.into_iter().chain([("tr", tr), ("ldtr", ldtr)]) {
        check_form(segment).map_err(|wrong| wrong.inside(name))?;
    }
    if registers.general.rflags & VM != 0 {
        for (name, segment) in all {
            check_virtual_8086(segment).map_err(|wrong| wrong.inside(name))?;
        }
    } else {
        check_code(registers).map_err(|wrong| wrong.inside("cs"))?;
        check_stack(ss, registers.cr0 & PE != 0).map_err(|wrong| wrong.inside("ss"))?;
        for (name, segment) in all.into_iter().skip(2) {
            check_data(segment).map_err(|wrong| wrong.inside(name))?;
        }
    }
    check_task(tr, is_long(registers)).map_err(|wrong| wrong.inside("tr"))?;
    check_local_table(ldtr).map_err(|wrong| wrong.inside("ldtr"))
}

/// What holds for every segment; of an unusable one nothing else does.
fn check_form(segment: &Segment) -> Result<(), Wrong> {
    if segment.attributes & RESERVED != 0 {
        return refuse(
            segment,
            "bits 8 to 11 are reserved; bits 12 to 15 are AVL, L, D/B and G, not packed",
        );
    }
    if !usable(segment) {
        return Ok(());
    }
    let pages = segment.attributes & G != 0;
    if pages && segment.limit & 0xfff != 0xfff {
        return limit(
            segment,
            "with granularity (bit 15 of the attributes) it ends in 0xfff; it is in bytes",
        );
    }
    if !pages && segment.limit >> 20 != 0 {
        return limit(
            segment,
            "above 0xfffff it needs granularity; set bit 15 of the attributes",
        );
    }
    Ok(())
}

fn check_code(registers: &Registers) -> Result<(), Wrong> {
    let Registers { cs, ss, cr0, .. } = registers;
    let kind = cs.attributes & 0xf;
    if !usable(cs) || cs.attributes & S == 0 {
        return refuse(
            cs,
            "code is present (bit 7) and no system segment (bit 4); set both",
        );
    }
    if cs.attributes & L != 0 && !is_long(registers) {
        return refuse(
            cs,
            "64-bit code (L, bit 13) needs 64-bit mode (EFER.LME and CR0.PG); clear it",
        );
    }
    if cs.attributes & L != 0 && cs.attributes & DB != 0 {
        return refuse(
            cs,
            "code is 64-bit (L, bit 13) or 32-bit (D, bit 14), not both; clear one",
        );
    }
    match kind {
        // Non-conforming and conforming code.
        8..=11 if dpl(cs) == stack_level(ss) => Ok(()),
        12..=15 if dpl(cs) <= stack_level(ss) => Ok(()),
        8..=15 => refuse(
            cs,
            "its privilege level (bits 5 and 6) is that of the stack segment, or below if it is conforming; make them alike",
        ),
        // Real mode runs from data too.
        2 | 3 if cr0 & PE == 0 && dpl(cs) == 0 => Ok(()),
        _ => refuse(cs, "the type (bits 0 to 3) is not code; give 8 to 15"),
    }
}

fn check_stack(ss: &Segment, protected: bool) -> Result<(), Wrong> {
    if !usable(ss) {
        return Ok(());
    }
    if ss.attributes & S == 0 || !matches!(ss.attributes & 0xf, 2 | 3 | 6 | 7) {
        return refuse(
            ss,
            "a stack is data that can be written; set bit 4, and give type 3 or 7 in bits 0 to 3",
        );
    }
    if !protected && dpl(ss) != 0 {
        return refuse(
            ss,
            "without protection (CR0.PE) the privilege level (bits 5 and 6) is 0; clear it",
        );
    }
    Ok(())
}

fn check_data(segment: &Segment) -> Result<(), Wrong> {
    if !usable(segment) {
        return Ok(());
    }
    if segment.attributes & S == 0 {
        return refuse(
            segment,
            "it is a system segment; set bit 4, or clear bit 7 to make it unusable",
        );
    }
    if segment.attributes & 0xa == 8 {
        return refuse(
            segment,
            "it is code that cannot be read; set bit 1, or give type 3",
        );
    }
    Ok(())
}

fn check_task(tr: &Segment, long: bool) -> Result<(), Wrong> {
    let kind = tr.attributes & 0xf;
    let known = kind == 11 || kind == 3 && !long;
    if !usable(tr) || tr.attributes & S != 0 || !known {
        return refuse(
            tr,
            "a processor always has a task: a present (bit 7) system segment (bit 4 clear) of type 11, a busy TSS, or outside 64-bit mode 3; give 0x8b, or leave tr unset",
        );
    }
    local(tr)
}

fn check_local_table(ldtr: &Segment) -> Result<(), Wrong> {
    if !usable(ldtr) {
        return Ok(());
    }
    if ldtr.attributes & S != 0 || ldtr.attributes & 0xf != 2 {
        return refuse(
            ldtr,
            "a local table is a system segment (bit 4 clear) of type 2; give 0x82, or 0x0 for none",
        );
    }
    local(ldtr)
}

fn check_virtual_8086(segment: &Segment) -> Result<(), Wrong> {
    if segment.attributes != VIRTUAL_8086 {
        return refuse(segment, "in virtual-8086 mode every segment's is 0xf3");
    }
    if segment.limit != 0xffff {
        return limit(segment, "in virtual-8086 mode every segment's is 0xffff");
    }
    if segment.base != u64::from(segment.selector) << 4 {
        return Err(Wrong::new(
            "base",
            segment.base,
            "in virtual-8086 mode it is 16 times the selector",
        ));
    }
    Ok(())
}

/// TR and LDTR are described by the global table alone.
fn local(segment: &Segment) -> Result<(), Wrong> {
    if segment.selector & TI == 0 {
        return Ok(());
    }
    Err(Wrong::new(
        "selector",
        segment.selector.into(),
        "its descriptor cannot be in the local table; clear bit 2",
    ))
}

fn usable(segment: &Segment) -> bool {
    segment.attributes & P != 0
}

/// The privilege level, 0 to 3.
fn dpl(segment: &Segment) -> u16 {
    segment.attributes >> 5 & 3
}

/// The processor's privilege level: KVM passes nothing of an unusable stack on (`vmx_segment_access_rights()`, `arch/x86/kvm/vmx/vmx.c`).
fn stack_level(ss: &Segment) -> u16 {
    if usable(ss) { dpl(ss) } else { 0 }
}

fn refuse(segment: &Segment, why: &str) -> Result<(), Wrong> {
    Err(Wrong::new("attributes", segment.attributes.into(), why))
}

fn limit(segment: &Segment, why: &str) -> Result<(), Wrong> {
    Err(Wrong::new("limit", segment.limit.into(), why))
}
