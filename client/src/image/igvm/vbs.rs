//! The context of VSM isolation: a list of registers by their names of the hypervisor's interface, loaded natively on `kvm`.
//!
//! **Invariant:** a register that cannot be set is told, and one that is not named is as the architecture resets it.

use igvm::registers::{SegmentRegister, TableRegister, X86Register};
use igvm_defs::{VbsVpContextHeader, VbsVpContextRegister};
use zerocopy::FromBytes as _;

use super::{super::ImageError, contexts::Context, fixed::File, notes::Notes, walk::Raw};
use crate::{plan::Severity, v1};

/// Registers in a list; there are fewer names.
const MOST: u32 = 256;
const HEADER: u64 = size_of::<VbsVpContextHeader>() as u64;
const REGISTER: u64 = size_of::<VbsVpContextRegister>() as u64;

/// Bytes of the list at this offset.
///
/// # Errors
/// It is not in the file, or longer than any.
pub(super) fn length(raw: &Raw<'_>, file: &File, offset: u32) -> Result<u64, ImageError> {
    let count = file.slice(file.data(raw, offset, HEADER)?);
    let count = count
        .first_chunk()
        .map_or(0, |count| u32::from_le_bytes(*count));
    if !(1..=MOST).contains(&count) {
        return Err(raw.wrong(format!(
            "a list of {count:#x} registers; lists have 1 to {MOST:#x}: make the file anew"
        )));
    }
    Ok(HEADER + u64::from(count) * REGISTER)
}

/// # Errors
/// A register is of another processor.
pub(super) fn registers(
    context: &Context,
    notes: &mut Notes,
) -> Result<v1::VcpuRegisters, ImageError> {
    let mut all = v1::VcpuRegisters {
        rflags: 2,
        cr0: 1 << 4,
        ..v1::VcpuRegisters::default()
    };
    let mut rest = context
        .bytes
        .get(size_of::<VbsVpContextHeader>()..)
        .unwrap_or_default();
    while let Ok((register, behind)) = VbsVpContextRegister::read_from_prefix(rest) {
        rest = behind;
        if register.vtl != 0 {
            notes.once(Severity::Error, "VBS_VTL", context.offset, || {
                format!("the context is for VTL {}, and KVM has none but 0; it is loaded there: give an image that starts in VTL 0", register.vtl)
            });
        }
        let name = register.register_name.get();
        let parsed = X86Register::try_from(register).map_err(|_unknown| {
            let problem = format!("register {name:#x} is not known; make the file without it");
            ImageError::at("IGVM VP context", context.offset, problem)
        })?;
        if !set(&mut all, parsed) {
            notes.once(Severity::Warning, "VBS_REGISTER", context.offset, || {
                format!("register {name:#x} (memory types) cannot be set before a guest starts, and was left out")
            });
        }
    }
    Ok(all)
}

/// Whether it could be set.
fn set(all: &mut v1::VcpuRegisters, register: X86Register) -> bool {
    use X86Register as Of;
    let general = all.general.get_or_insert_default();
    match register {
        Of::Gdtr(it) => all.gdtr = Some(table(it)),
        Of::Idtr(it) => all.idtr = Some(table(it)),
        Of::Ds(it) => all.ds = Some(segment(it)),
        Of::Es(it) => all.es = Some(segment(it)),
        Of::Fs(it) => all.fs = Some(segment(it)),
        Of::Gs(it) => all.gs = Some(segment(it)),
        Of::Ss(it) => all.ss = Some(segment(it)),
        Of::Cs(it) => all.cs = Some(segment(it)),
        Of::Tr(it) => all.tr = Some(segment(it)),
        Of::Cr0(it) => all.cr0 = it,
        Of::Cr3(it) => all.cr3 = it,
        Of::Cr4(it) => all.cr4 = it,
        Of::Efer(it) => all.efer = it,
        Of::Pat(it) => all.pat = Some(it),
        Of::Rbp(it) => general.rbp = it,
        Of::Rip(it) => all.rip = it,
        Of::Rsi(it) => general.rsi = it,
        Of::Rsp(it) => all.rsp = it,
        Of::R8(it) => general.r8 = it,
        Of::R9(it) => general.r9 = it,
        Of::R10(it) => general.r10 = it,
        Of::R11(it) => general.r11 = it,
        Of::R12(it) => general.r12 = it,
        Of::Rflags(it) => all.rflags = it,
        Of::MtrrDefType(_)
        | Of::MtrrPhysBase0(_)
        | Of::MtrrPhysMask0(_)
        | Of::MtrrPhysBase1(_)
        | Of::MtrrPhysMask1(_)
        | Of::MtrrPhysBase2(_)
        | Of::MtrrPhysMask2(_)
        | Of::MtrrPhysBase3(_)
        | Of::MtrrPhysMask3(_)
        | Of::MtrrPhysBase4(_)
        | Of::MtrrPhysMask4(_)
        | Of::MtrrFix64k00000(_)
        | Of::MtrrFix16k80000(_)
        | Of::MtrrFix4kE0000(_)
        | Of::MtrrFix4kE8000(_)
        | Of::MtrrFix4kF0000(_)
        | Of::MtrrFix4kF8000(_) => return false,
    }
    true
}

fn segment(it: SegmentRegister) -> v1::Segment {
    v1::Segment {
        selector: it.selector.into(),
        attributes: it.attributes.into(),
        limit: it.limit,
        base: it.base,
    }
}

fn table(it: TableRegister) -> v1::DescriptorTable {
    v1::DescriptorTable {
        base: it.base,
        limit: it.limit.into(),
    }
}
