//! The registers that a state of the API stands for, as the launch host makes them of it.
//!
//! **Invariant:** agrees with the launch host, field by field; a state that the host would refuse for a number that is too large has none.

use stagepages_digest::{
    vcpu::completed,
    vmsa::{General, Registers, Segment, Table},
};

use crate::v1::{self, vcpu_state::State};

/// Every register of a vCPU that begins like this, as it is measured; `None` where the platform sets them (tdx), or a field does not fit its register.
#[must_use]
pub fn registers(state: &v1::VcpuState) -> Option<Registers> {
    given(state).map(completed)
}

/// The same as it was given: without the bits that follow from the rest.
pub(super) fn given(state: &v1::VcpuState) -> Option<Registers> {
    match state.state.as_ref()? {
        State::Reset(_) => Some(Registers::reset()),
        State::RealMode(real) => {
            let general = General {
                rip: u16::try_from(real.ip).ok()?.into(),
                rsp: u16::try_from(real.sp).ok()?.into(),
                ..general(real.general.as_ref())
            };
            Some(Registers::real_mode(u16::try_from(real.cs).ok()?, &general))
        }
        State::LongMode(long) => {
            let general = General {
                rip: long.rip,
                rsp: long.rsp,
                ..general(long.general.as_ref())
            };
            Some(Registers::long_mode(long.cr3, &general))
        }
        State::Registers(all) => every(all),
        State::Tdx(_) => None,
    }
}

fn every(all: &v1::VcpuRegisters) -> Option<Registers> {
    let cleared = Registers::cleared();
    Some(Registers {
        general: General {
            rsp: all.rsp,
            rip: all.rip,
            rflags: all.rflags | 2,
            ..general(all.general.as_ref())
        },
        cs: segment(all.cs.as_ref(), cleared.cs)?,
        ds: segment(all.ds.as_ref(), cleared.ds)?,
        es: segment(all.es.as_ref(), cleared.es)?,
        fs: segment(all.fs.as_ref(), cleared.fs)?,
        gs: segment(all.gs.as_ref(), cleared.gs)?,
        ss: segment(all.ss.as_ref(), cleared.ss)?,
        tr: segment(all.tr.as_ref(), cleared.tr)?,
        ldtr: segment(all.ldtr.as_ref(), cleared.ldtr)?,
        gdtr: table(all.gdtr.as_ref(), cleared.gdtr)?,
        idtr: table(all.idtr.as_ref(), cleared.idtr)?,
        cr0: all.cr0,
        cr2: all.cr2,
        cr3: all.cr3,
        cr4: all.cr4,
        efer: all.efer,
        pat: all.pat.unwrap_or(cleared.pat),
    })
}

fn segment(given: Option<&v1::Segment>, unset: Segment) -> Option<Segment> {
    let Some(given) = given else {
        return Some(unset);
    };
    Some(Segment {
        selector: u16::try_from(given.selector).ok()?,
        attributes: u16::try_from(given.attributes).ok()?,
        limit: given.limit,
        base: given.base,
    })
}

fn table(given: Option<&v1::DescriptorTable>, unset: Table) -> Option<Table> {
    let Some(given) = given else {
        return Some(unset);
    };
    Some(Table {
        base: given.base,
        limit: u16::try_from(given.limit).ok()?,
    })
}

fn general(given: Option<&v1::GeneralRegisters>) -> General {
    let Some(it) = given else {
        return General::default();
    };
    General {
        rax: it.rax,
        rbx: it.rbx,
        rcx: it.rcx,
        rdx: it.rdx,
        rsi: it.rsi,
        rdi: it.rdi,
        rbp: it.rbp,
        r8: it.r8,
        r9: it.r9,
        r10: it.r10,
        r11: it.r11,
        r12: it.r12,
        r13: it.r13,
        r14: it.r14,
        r15: it.r15,
        ..General::default()
    }
}
