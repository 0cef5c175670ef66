//! `KVM_SEV_INIT2` (`__sev_guest_init()`, `arch/x86/kvm/svm/sev.c`).
//!
//! **Invariant:** a refused one leaves the VM as it was.

use super::firmware::{self, Refusal};
use super::{Command, Snp};
use crate::cx::Cx;
use crate::vm::Common;
use crate::wire::Fields;
use crate::{Answer, Effect, Errno};

const GHCB_VERSION_MAX: u16 = 2;
const GHCB_VERSION_MIN_SNP: u16 = 2;
const SNP_ACTIVE: u64 = 1;

/// struct kvm_sev_init {vmsa_features u64@0, flags u32@8, ghcb_version u16@12, pad u16@14, pad2 u32[8]@16}.
pub(super) fn init2(
    cx: &mut Cx<'_>,
    vm: &Common,
    guest: &mut Snp,
    command: Command,
    status: &mut u32,
) -> Answer<()> {
    let args = Fields(cx.read::<48>(command.data)?);
    let (features, flags, ghcb_version) = (args.u64(0), args.u32(8), args.u16(12));
    cx.note.detail = Some(format!(
        "vmsa_features={features:#x} ghcb_version={ghcb_version}"
    ));
    cx.require(
        args.is_zero(14, 34),
        "the padding of kvm_sev_init is not zero",
    );
    if !vm.vcpus.is_empty() || flags != 0 || features & !cx.script.vmsa_features() != 0 {
        return Err(Errno::EINVAL);
    }
    let is_old = ghcb_version != 0 && ghcb_version < GHCB_VERSION_MIN_SNP;
    if ghcb_version > GHCB_VERSION_MAX || is_old {
        return Err(Errno::EINVAL);
    }
    if command.effect == Some(Effect::NoAsid) {
        return Err(Errno::EBUSY);
    }
    if let Some(Effect::Firmware { status: said, .. }) = command.effect {
        // The first guest initialises the platform, and KVM passes on what firmware said of that.
        return firmware::answer(Err(Refusal::scripted(said)), status);
    }
    guest.features = Some(features | SNP_ACTIVE);
    Ok(())
}
