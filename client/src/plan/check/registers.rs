//! Registers of a vCPU: what a processor refuses at the first instruction, and what KVM makes of the rest before it is measured.
//!
//! The rules are those of the launch host, which is asked too when the launch is created; its processor may allow less. Architecture: AMD APM volume 2,
//! section 15.5.1; KVM: `kvm_is_valid_sregs()`, arch/x86/kvm/x86.c.
//!
//! **Invariant:** one error a vCPU at most, the first register that is wrong; and one note of all that is normalised.

use stagepages_digest::vmsa::{Registers, Segment};

use super::{Found, memory::end};
use crate::{
    addr::{Gpa, PAGE_BYTES},
    plan::{
        Finding, Plan,
        Severity::{Error, Note},
        registers,
    },
    v1::{Platform, VcpuState, vcpu_state::State},
};

const PE: u64 = 1;
const WP: u64 = 1 << 16;
const NW: u64 = 1 << 29;
const CD: u64 = 1 << 30;
const PG: u64 = 1 << 31;
/// PE, MP, EM, TS, ET, NE, WP, AM, NW, CD and PG.
const CR0: u64 = 0xe005_003f;
const PAE: u64 = 1 << 5;
const MCE: u64 = 1 << 6;
const LA57: u64 = 1 << 12;
const PCIDE: u64 = 1 << 17;
const CET: u64 = 1 << 23;
/// All that is defined but SMX, protection keys of supervisor pages and user interrupts, which no virtual processor has.
const CR4: u64 = 0x10f7_2fff | LA57;
const LMA: u64 = 1 << 10;
const SVME: u64 = 1 << 12;
/// All that is defined.
const EFER: u64 = 0x20_dd01;
/// Every flag that there is, and bit 1.
const RFLAGS: u64 = 0x3f_7fd7;
const VM: u64 = 1 << 17;
/// Attributes of a segment: present, 64-bit code, 32-bit code, limit in pages; and bits that are none.
const P: u16 = 1 << 7;
const L: u16 = 1 << 13;
const DB: u16 = 1 << 14;
const G: u16 = 1 << 15;
const NO_ATTRIBUTES: u16 = 0x0f00;

pub(super) fn check(plan: &Plan, state: &VcpuState, found: &mut Found) {
    let index = state.index;
    let Some(all) = registers(state) else {
        if !matches!(state.state, Some(State::Tdx(_))) && plan.platform != Platform::Tdx {
            let text = format!(
                "vCPU {index} has a selector, attribute, table limit or real-mode register above 0xffff; these have 16 bits"
            );
            found.add(Finding::new(Error, "VCPU_REGISTER", text));
        }
        return;
    };
    if matches!(state.state, Some(State::Reset(_))) {
        return;
    }
    if let Err(wrong) = judge(&all).and_then(|()| page_table(plan, &all)) {
        let text = format!("vCPU {index}: {wrong}");
        found.add(Finding::new(Error, "VCPU_REGISTER", text));
    }
}

fn judge(all: &Registers) -> Result<(), String> {
    let Registers { cr0, cr4, efer, .. } = *all;
    let (long, flags) = (efer & LMA != 0, all.general.rflags);
    let bits = if cr4 & LA57 != 0 { 57 } else { 48 };
    for (bad, register, value, why) in [
        (cr0 & !CR0 != 0, "cr0", cr0, "has reserved bits; clear them"),
        (
            cr0 & PG != 0 && cr0 & PE == 0,
            "cr0",
            cr0,
            "has PG (bit 31) without PE (bit 0); set both, or clear PG",
        ),
        (
            cr0 & NW != 0 && cr0 & CD == 0,
            "cr0",
            cr0,
            "has NW (bit 29) without CD (bit 30); set both, or clear NW",
        ),
        (
            cr4 & !CR4 != 0,
            "cr4",
            cr4,
            "has bits that are reserved or no virtual processor's; clear them",
        ),
        (
            long && cr4 & PAE == 0,
            "cr4",
            cr4,
            "lacks PAE (bit 5), which 64-bit mode needs; set it",
        ),
        (
            cr4 & PCIDE != 0 && !long,
            "cr4",
            cr4,
            "has PCIDE (bit 17) outside 64-bit mode; clear it",
        ),
        (
            cr4 & CET != 0 && cr0 & WP == 0,
            "cr4",
            cr4,
            "has CET (bit 23) without CR0.WP (bit 16); set both, or clear it",
        ),
        (
            efer & !EFER != 0,
            "efer",
            efer,
            "has reserved bits; clear them",
        ),
        (
            flags & !RFLAGS != 0,
            "rflags",
            flags,
            "has reserved bits; clear them",
        ),
        (
            flags & VM != 0 && (long || cr0 & PE == 0),
            "rflags",
            flags,
            "has VM (bit 17) in 64-bit or real mode; clear it",
        ),
        (
            all.pat
                .to_le_bytes()
                .iter()
                .any(|it| !matches!(it, 0 | 1 | 4..=7)),
            "pat",
            all.pat,
            "has a byte that is no memory type; give 0, 1, 4, 5, 6 or 7 in each",
        ),
    ] {
        if bad {
            return Err(format!("{register} is {value:#x}: it {why}"));
        }
    }
    for (name, segment) in segments(all) {
        form(name, segment)?;
    }
    code(all, long)?;
    let wide = long && all.cs.attributes & L != 0;
    for (register, value) in [("rip", all.general.rip), ("rsp", all.general.rsp)] {
        if wide {
            canonical(register, value, bits)?;
        } else if value > u32::MAX.into() {
            return Err(format!(
                "{register} is {value:#x}: outside 64-bit code it has 32 bits"
            ));
        }
    }
    for (register, value) in [
        ("fs.base", all.fs.base),
        ("gs.base", all.gs.base),
        ("tr.base", all.tr.base),
        ("ldtr.base", all.ldtr.base),
        ("gdtr.base", all.gdtr.base),
        ("idtr.base", all.idtr.base),
    ] {
        canonical(register, value, bits)?;
    }
    Ok(())
}

fn segments(all: &Registers) -> [(&'static str, &Segment); 8] {
    [
        ("cs", &all.cs),
        ("ss", &all.ss),
        ("ds", &all.ds),
        ("es", &all.es),
        ("fs", &all.fs),
        ("gs", &all.gs),
        ("tr", &all.tr),
        ("ldtr", &all.ldtr),
    ]
}

fn form(name: &str, segment: &Segment) -> Result<(), String> {
    let Segment {
        attributes, limit, ..
    } = *segment;
    let why = if attributes & NO_ATTRIBUTES != 0 {
        "bits 8 to 11 are none; AVL, L, D/B and G are bits 12 to 15, not packed as in a save area"
    } else if attributes & P == 0 {
        return Ok(());
    } else if attributes & G != 0 && limit & 0xfff != 0xfff {
        return Err(format!(
            "{name}.limit is {limit:#x}: with granularity (bit 15 of the attributes) it ends in 0xfff"
        ));
    } else if attributes & G == 0 && limit >> 20 != 0 {
        return Err(format!(
            "{name}.limit is {limit:#x}: above 0xfffff it needs granularity, bit 15 of the attributes"
        ));
    } else {
        return Ok(());
    };
    Err(format!("{name}.attributes are {attributes:#x}: {why}"))
}

/// Code and task, which a processor always has.
fn code(all: &Registers, long: bool) -> Result<(), String> {
    let (cs, tr) = (all.cs.attributes, all.tr.attributes);
    let task = tr & 0x1f;
    for (bad, register, value, why) in [
        (
            cs & 0x90 != 0x90 && all.general.rflags & VM == 0,
            "cs",
            cs,
            "code is present (bit 7) and no system segment (bit 4); set both",
        ),
        (
            cs & L != 0 && !long,
            "cs",
            cs,
            "64-bit code (L, bit 13) needs 64-bit mode (EFER.LME and CR0.PG)",
        ),
        (
            cs & L != 0 && cs & DB != 0,
            "cs",
            cs,
            "code is 64-bit (L, bit 13) or 32-bit (D, bit 14), not both",
        ),
        (
            tr & P == 0 || !(task == 11 || task == 3 && !long),
            "tr",
            tr,
            "a task is present (bit 7) and a busy TSS: type 11, or outside 64-bit mode 3; give 0x8b",
        ),
    ] {
        if bad {
            return Err(format!("{register}.attributes are {value:#x}: {why}"));
        }
    }
    Ok(())
}

/// Bit `bits - 1` and all above are alike.
fn canonical(register: &str, value: u64, bits: u32) -> Result<(), String> {
    let above = value >> (bits - 1);
    if above == 0 || above == u64::MAX >> (bits - 1) {
        return Ok(());
    }
    Err(format!(
        "{register} is {value:#x}: it is not canonical, for linear addresses have {bits} bits"
    ))
}

/// With paging on, the top page table is in the guest's memory.
fn page_table(plan: &Plan, all: &Registers) -> Result<(), String> {
    if all.cr0 & PG == 0 {
        return Ok(());
    }
    let table = all.cr3 & !(PAGE_BYTES - 1);
    let inside = plan.memory.iter().any(|region| {
        let behind = end(region).and_then(|end| end.checked_sub(table));
        Gpa::bytes(region.gpa) <= table && behind.is_some_and(|left| left >= PAGE_BYTES)
    });
    if inside {
        return Ok(());
    }
    Err(format!(
        "cr3 is {:#x}: the page table is in no memory region; add one with --memory, or move the table",
        all.cr3
    ))
}

/// What KVM puts into save areas otherwise than the states have it, in one note: the digest covers KVM's.
pub(super) fn normalised(plan: &Plan, found: &mut Found) {
    if !matches!(plan.platform, Platform::SevSnp | Platform::Sim) {
        return;
    }
    let whole = |state: &&VcpuState| matches!(state.state, Some(State::Registers(_)));
    let all: Vec<_> = { plan.vcpus.iter().filter(whole) }
        .filter_map(registers)
        .collect();
    let any = |is_so: fn(&Registers) -> bool| all.iter().any(is_so);
    let changes: Vec<_> = [
        (
            any(|it| it.efer & SVME == 0),
            "sets EFER.SVME (`svm_set_efer()`)",
        ),
        (
            any(|it| it.cr4 & MCE == 0),
            "sets CR4.MCE (`svm_set_cr4()`)",
        ),
        (
            any(|it| it.cr0 & (CD | NW) != 0),
            "clears CR0.CD and CR0.NW (`svm_set_cr0()`)",
        ),
        (
            any(|it| it.cr2 != 0),
            "leaves CR2 zero (it is set where a vCPU runs, `svm_vcpu_run()`)",
        ),
    ]
    .into_iter()
    .filter_map(|(is_so, what)| is_so.then_some(what))
    .collect();
    if !changes.is_empty() {
        let text = format!(
            "KVM {} in the save areas of vCPUs, and the digest covers that; nothing is to be done",
            changes.join(", ")
        );
        found.add(Finding::new(Note, "VCPU_NORMALISED", text));
    }
}
