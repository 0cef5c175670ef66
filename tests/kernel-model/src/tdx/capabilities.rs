//! `KVM_TDX_CAPABILITIES` and `KVM_TDX_GET_CPUID`: what a TD can be, and what this one's CPUID became.
//!
//! **Invariant:** a table that does not fit is not written in part; only `GET_CPUID` then tells how many entries there are.

use super::{Command, Tdx, module};
use crate::cx::Cx;
use crate::vcpu;
use crate::wire::Fields;
use crate::{Answer, Errno};

const CPUID: u64 = 2048;

/// struct kvm_tdx_capabilities {supported_attrs u64@0, supported_xfam u64@8, four tdvmcallinfo u64@16, reserved u64[250]@48,
/// kvm_cpuid2@2048}.
pub(super) fn capabilities(cx: &mut Cx<'_>, command: Command) -> Answer<()> {
    let table = command.data.wrapping_add(CPUID);
    vcpu::write_table(cx.world, table, &module::configurable())?;
    let mut fields = Fields([0; 2048]);
    fields.put(0, &cx.script.tdx_attributes.to_le_bytes());
    fields.put(8, &cx.script.tdx_xfam.to_le_bytes());
    cx.world.write(command.data, &fields.0)
}

/// The CPUID that the module shows the guest: the processor's, but for the bits that `INIT_VM` chose.
pub(super) fn get_cpuid(cx: &mut Cx<'_>, td: &Tdx, command: Command) -> Answer<()> {
    let mut table = vcpu::supported(cx.script.snp);
    for mask in module::configurable() {
        let chosen = module::find(&td.cpuid, &mask).copied().unwrap_or_default();
        let shown = table
            .iter_mut()
            .find(|leaf| (leaf.function, leaf.index) == (mask.function, mask.index));
        if let Some(leaf) = shown {
            leaf.eax = leaf.eax & !mask.eax | chosen.eax;
            leaf.ebx = leaf.ebx & !mask.ebx | chosen.ebx;
            leaf.ecx = leaf.ecx & !mask.ecx | chosen.ecx;
            leaf.edx = leaf.edx & !mask.edx | chosen.edx;
        }
    }
    let written = vcpu::write_table(cx.world, command.data, &table);
    if written == Err(Errno::E2BIG) {
        let count = u32::try_from(table.len()).or(Err(Errno::E2BIG))?;
        cx.world.write(command.data, &count.to_le_bytes())?;
    }
    written
}
