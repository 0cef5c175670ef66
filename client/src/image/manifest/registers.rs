//! A vCPU, register by register.

use serde::Deserialize;

use super::{
    Numeric,
    values::{Narrow, Number},
};
use crate::v1::{
    self, DescriptorTable, GeneralRegisters, VcpuRegisters, VcpuState, vcpu_state::State,
};

type Wide = Numeric<Number>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Registers {
    index: Numeric<Narrow>,
    rax: Wide,
    rbx: Wide,
    rcx: Wide,
    rdx: Wide,
    rsi: Wide,
    rdi: Wide,
    rbp: Wide,
    r8: Wide,
    r9: Wide,
    r10: Wide,
    r11: Wide,
    r12: Wide,
    r13: Wide,
    r14: Wide,
    r15: Wide,
    rsp: Wide,
    rip: Wide,
    rflags: Wide,
    cs: Option<Segment>,
    ds: Option<Segment>,
    es: Option<Segment>,
    fs: Option<Segment>,
    gs: Option<Segment>,
    ss: Option<Segment>,
    tr: Option<Segment>,
    ldtr: Option<Segment>,
    gdtr: Option<Table>,
    idtr: Option<Table>,
    cr0: Wide,
    cr2: Wide,
    cr3: Wide,
    cr4: Wide,
    efer: Wide,
    pat: Option<Wide>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Segment {
    selector: Numeric<Narrow>,
    attributes: Numeric<Narrow>,
    limit: Numeric<Narrow>,
    base: Wide,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    base: Wide,
    limit: Numeric<Narrow>,
}

impl From<&Registers> for VcpuState {
    fn from(it: &Registers) -> Self {
        let registers = VcpuRegisters {
            general: Some(GeneralRegisters {
                rax: it.rax.0.0,
                rbx: it.rbx.0.0,
                rcx: it.rcx.0.0,
                rdx: it.rdx.0.0,
                rsi: it.rsi.0.0,
                rdi: it.rdi.0.0,
                rbp: it.rbp.0.0,
                r8: it.r8.0.0,
                r9: it.r9.0.0,
                r10: it.r10.0.0,
                r11: it.r11.0.0,
                r12: it.r12.0.0,
                r13: it.r13.0.0,
                r14: it.r14.0.0,
                r15: it.r15.0.0,
            }),
            rsp: it.rsp.0.0,
            rip: it.rip.0.0,
            rflags: it.rflags.0.0,
            cs: it.cs.as_ref().map(segment),
            ds: it.ds.as_ref().map(segment),
            es: it.es.as_ref().map(segment),
            fs: it.fs.as_ref().map(segment),
            gs: it.gs.as_ref().map(segment),
            ss: it.ss.as_ref().map(segment),
            tr: it.tr.as_ref().map(segment),
            ldtr: it.ldtr.as_ref().map(segment),
            gdtr: it.gdtr.as_ref().map(table),
            idtr: it.idtr.as_ref().map(table),
            cr0: it.cr0.0.0,
            cr2: it.cr2.0.0,
            cr3: it.cr3.0.0,
            cr4: it.cr4.0.0,
            efer: it.efer.0.0,
            pat: it.pat.as_ref().map(|it| it.0.0),
        };
        Self {
            index: it.index.0.0,
            state: Some(State::Registers(registers)),
        }
    }
}

fn segment(it: &Segment) -> v1::Segment {
    v1::Segment {
        selector: it.selector.0.0,
        attributes: it.attributes.0.0,
        limit: it.limit.0.0,
        base: it.base.0.0,
    }
}

fn table(it: &Table) -> DescriptorTable {
    DescriptorTable {
        base: it.base.0.0,
        limit: it.limit.0.0,
    }
}
