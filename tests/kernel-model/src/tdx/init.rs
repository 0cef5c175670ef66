//! `KVM_TDX_INIT_VM` (`tdx_td_init()`, `arch/x86/kvm/vmx/tdx.c`).
//!
//! **Invariant:** a refused one leaves the TD as it was, and can be tried again.

use super::{Command, State, Tdx, module};
use crate::cx::Cx;
use crate::vcpu::{self, CpuidEntry};
use crate::wire::{Fields, hex};
use crate::{Answer, Effect, Errno};

const CPUID: u64 = 256;
const ENTRIES: u64 = 264;
const ENTRY: u64 = 40;

/// struct kvm_tdx_init_vm {attributes u64@0, xfam u64@8, mrconfigid[48]@16, mrowner[48]@64, mrownerconfig[48]@112, reserved u64[12]@160,
/// kvm_cpuid2 {nent u32, padding u32, entries}@256}.
pub(super) fn init_vm(
    cx: &mut Cx<'_>,
    td: &mut Tdx,
    command: Command,
    hw_error: &mut u64,
) -> Answer<()> {
    if td.state != State::Uninitialised {
        return Err(Errno::EINVAL);
    }
    let args = Fields(cx.read::<264>(command.data)?);
    let (attributes, xfam) = (args.u64(0), args.u64(8));
    cx.note.detail = Some(format!(
        "attributes={attributes:#x} xfam={xfam:#x} mrconfigid={} mrowner={} mrownerconfig={} leaves={}",
        hex(&args.bytes::<48>(16)),
        hex(&args.bytes::<48>(64)),
        hex(&args.bytes::<48>(112)),
        args.u32(256),
    ));
    let table = vcpu::read_table(cx.world, command.data.wrapping_add(CPUID))?;
    let leaves: String = table.iter().map(CpuidEntry::told).collect();
    cx.note.detail.get_or_insert_default().push_str(&leaves);
    if !args.is_zero(160, 96) || !args.is_zero(260, 4) {
        cx.violation("reserved fields or padding of kvm_tdx_init_vm are not zero");
        return Err(Errno::EINVAL);
    }
    require_padding(cx, command.data, &table)?;
    if attributes & !cx.script.tdx_attributes != 0 || xfam & !cx.script.tdx_xfam != 0 {
        return Err(Errno::EINVAL);
    }
    let width = address_width(&table).ok_or(Errno::EINVAL)?;
    let leaves = module::configurable();
    let found = leaves
        .iter()
        .filter_map(|leaf| module::find(&table, leaf).map(|entry| (leaf, entry)));
    // Each entry has to configure one leaf: none that cannot be configured, and none twice.
    if found.clone().count() != table.len() {
        return Err(Errno::EINVAL);
    }
    if command.effect == Some(Effect::NoHkid) {
        return Err(Errno::ENOSPC);
    }
    if found
        .clone()
        .any(|(leaf, entry)| !module::takes(leaf, entry))
    {
        *hw_error = module::OPERAND_INVALID;
        return Err(Errno::EINVAL);
    }
    if let Some(Effect::Module { status, .. }) = command.effect {
        *hw_error = status;
        return Err(Errno::EIO);
    }
    td.state = State::Initialised;
    td.private_end = 1 << (width - 1);
    td.cpuid = table;
    Ok(())
}

/// How wide guest physical addresses are: 48 or 52 bits, else `None`. The highest bit says "shared".
fn address_width(table: &[CpuidEntry]) -> Option<u32> {
    let entry = table
        .iter()
        .find(|entry| entry.function == module::ADDRESS_SIZES)?;
    Some(entry.eax >> 16 & 0xff).filter(|width| matches!(width, 48 | 52))
}

/// KVM does not look at an entry's last twelve bytes; a correct host sends none but zeros.
fn require_padding(cx: &Cx<'_>, data: u64, table: &[CpuidEntry]) -> Answer<()> {
    for at in (data + ENTRIES..).step_by(40).take(table.len()) {
        let padding = cx.read::<12>(at + ENTRY - 12)?;
        cx.require(
            padding == [0; 12],
            "the padding of a kvm_cpuid_entry2 is not zero",
        );
    }
    Ok(())
}
