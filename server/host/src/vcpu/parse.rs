//! A register set from the wire.

use stagepages_digest::{
    vcpu::{Wrong, checked, sixteen_bits},
    vmsa::{General, Segment, Table},
};

use super::{Registers, Rules};
use crate::protocol;

/// Takes what was given, the rest as the architecture resets it, and checks all of it.
pub(super) fn registers(
    given: &protocol::Registers,
    rules: &Rules<'_>,
) -> Result<Registers, Wrong> {
    parse(given)
        .and_then(|registers| checked(registers, rules))
        .map_err(|wrong| wrong.inside("registers"))
}

fn parse(given: &protocol::Registers) -> Result<Registers, Wrong> {
    let reset = Registers::cleared();
    Ok(Registers {
        general: General {
            rip: given.rip,
            rsp: given.rsp,
            rflags: given.rflags | 2,
            ..general(given.general.as_ref())
        },
        cs: segment("cs", given.cs.as_ref(), reset.cs)?,
        ds: segment("ds", given.ds.as_ref(), reset.ds)?,
        es: segment("es", given.es.as_ref(), reset.es)?,
        fs: segment("fs", given.fs.as_ref(), reset.fs)?,
        gs: segment("gs", given.gs.as_ref(), reset.gs)?,
        ss: segment("ss", given.ss.as_ref(), reset.ss)?,
        tr: segment("tr", given.tr.as_ref(), reset.tr)?,
        ldtr: segment("ldtr", given.ldtr.as_ref(), reset.ldtr)?,
        gdtr: table("gdtr", given.gdtr.as_ref(), reset.gdtr)?,
        idtr: table("idtr", given.idtr.as_ref(), reset.idtr)?,
        cr0: given.cr0,
        cr2: given.cr2,
        cr3: given.cr3,
        cr4: given.cr4,
        efer: given.efer,
        pat: given.pat.unwrap_or(reset.pat),
    })
}

/// The general registers, without stack and instruction pointer; 0 each if none is given.
pub(super) fn general(given: Option<&protocol::General>) -> General {
    let given = given.copied().unwrap_or_default();
    General {
        rax: given.rax,
        rbx: given.rbx,
        rcx: given.rcx,
        rdx: given.rdx,
        rsi: given.rsi,
        rdi: given.rdi,
        rbp: given.rbp,
        r8: given.r8,
        r9: given.r9,
        r10: given.r10,
        r11: given.r11,
        r12: given.r12,
        r13: given.r13,
        r14: given.r14,
        r15: given.r15,
        ..General::default()
    }
}

fn segment(
    name: &str,
    given: Option<&protocol::Segment>,
    reset: Segment,
) -> Result<Segment, Wrong> {
    let Some(given) = given else {
        return Ok(reset);
    };
    let part = |part, value| sixteen_bits(part, value).map_err(|wrong| wrong.inside(name));
    Ok(Segment {
        selector: part("selector", given.selector)?,
        attributes: part("attributes", given.attributes)?,
        limit: given.limit,
        base: given.base,
    })
}

fn table(name: &str, given: Option<&protocol::Table>, reset: Table) -> Result<Table, Wrong> {
    let Some(given) = given else {
        return Ok(reset);
    };
    Ok(Table {
        base: given.base,
        limit: sixteen_bits("limit", given.limit).map_err(|wrong| wrong.inside(name))?,
    })
}
