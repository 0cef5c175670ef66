//! `KVM_SEV_SNP_LAUNCH_START` (`snp_launch_start()`, `arch/x86/kvm/svm/sev.c`).
//!
//! **Invariant:** but for 6.11's bad arguments, a refused start can be tried again.

use super::digest::LaunchDigest;
use super::firmware::{self, INVALID_PLATFORM_STATE};
use super::{Command, Context, Psp, Snp};
use crate::cx::Cx;
use crate::wire::{Fields, hex};
use crate::{Answer, Effect, Errno};

const POLICY_SMT: u64 = 1 << 16;
const POLICY_MUST_BE_ONE: u64 = 1 << 17;
const POLICY_SINGLE_SOCKET: u64 = 1 << 20;

/// struct kvm_sev_snp_launch_start {policy u64@0, gosvw[16]@8, flags u16@24, pad0[6]@26, pad1 u64[4]@32}.
pub(super) fn launch_start(
    cx: &mut Cx<'_>,
    guest: &mut Snp,
    command: Command,
    status: &mut u32,
) -> Answer<()> {
    if guest.features.is_none() {
        return Err(Errno::ENOTTY);
    }
    let args = Fields(cx.read::<64>(command.data)?);
    let (policy, flags) = (args.u64(0), args.u16(24));
    cx.note.detail = Some(format!(
        "policy={policy:#x} gosvw={}",
        hex(&args.bytes::<16>(8))
    ));
    cx.require(
        args.is_zero(26, 38),
        "the padding of kvm_sev_snp_launch_start is not zero",
    );
    if guest.context != Context::Absent {
        return Err(Errno::EINVAL);
    }
    let is_valid = flags == 0 && takes_policy(cx, policy);
    if cx.profile().bad_start_spoils() {
        make_context(guest, command, status)?;
        guest.context = Context::Spoilt;
    }
    if !is_valid {
        return Err(Errno::EINVAL);
    }
    make_context(guest, command, status)?;
    let issued = firmware::issue(cx, guest, command.sev_fd, command.effect);
    // Whatever firmware says, KVM takes a context back that it did not start.
    guest.context = Context::Absent;
    firmware::answer(issued, status)?;
    guest.context = Context::Launching;
    guest.policy = policy;
    guest.sev_fd = Some(command.sev_fd);
    guest.digest = LaunchDigest::default();
    Ok(())
}

fn takes_policy(cx: &Cx<'_>, policy: u64) -> bool {
    let is_known = policy & !cx.script.snp_policy_bits == 0;
    let suits_old = policy & POLICY_SMT != 0 && policy & POLICY_SINGLE_SOCKET == 0;
    let is_complete = policy & POLICY_MUST_BE_ONE != 0;
    is_known && is_complete && (suits_old || !cx.profile().start_wants_smt())
}

/// `snp_context_create()`: whatever keeps it from being made, the answer is ENOTTY.
fn make_context(guest: &Snp, command: Command, status: &mut u32) -> Answer<()> {
    if command.effect == Some(Effect::ContextCreation) {
        *status = INVALID_PLATFORM_STATE;
        return Err(Errno::ENOTTY);
    }
    if guest.psp == Psp::Alive {
        Ok(())
    } else {
        Err(Errno::ENOTTY)
    }
}
