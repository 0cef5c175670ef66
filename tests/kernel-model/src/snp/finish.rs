//! `KVM_SEV_SNP_LAUNCH_FINISH` (`snp_launch_finish()`, `arch/x86/kvm/svm/sev.c`).
//!
//! **Invariant:** the VMSAs are measured first, so whatever fails after them leaves a launch that nothing can finish.

use sha2::{Digest as _, Sha384};

use super::firmware::{self, BAD_MEASUREMENT, INVALID_GUEST_STATE, POLICY_FAILURE, Refusal};
use super::update::VMSA;
use super::{Command, Context, Snp, vmsa};
use crate::cx::Cx;
use crate::trace::What;
use crate::vm::Common;
use crate::wire::{Fields, hex};
use crate::{Answer, Effect, Errno, strict};

/// Where KVM measures every VMSA.
const VMSA_GPA: u64 = 0xffff_ffff_f000;

/// struct kvm_sev_snp_launch_finish {id_block_uaddr u64@0, id_auth_uaddr u64@8, id_block_en u8@16, auth_key_en u8@17, vcek_disabled u8@18,
/// host_data[32]@19, pad0[3]@51, flags u16@54, pad1 u64[4]@56}.
pub(super) fn launch_finish(
    cx: &mut Cx<'_>,
    vm: &mut Common,
    guest: &mut Snp,
    command: Command,
    status: &mut u32,
) -> Answer<()> {
    let Some(features) = guest.features else {
        return Err(Errno::ENOTTY);
    };
    if guest.context == Context::Absent {
        return Err(Errno::EINVAL);
    }
    let args = Fields(cx.read::<88>(command.data)?);
    let is_padded = args.is_zero(51, 3) && args.is_zero(56, 32);
    cx.require(
        is_padded,
        "the padding of kvm_sev_snp_launch_finish is not zero",
    );
    let is_boolean = (16..19).all(|at| args.u8(at) <= 1);
    cx.require(
        is_boolean,
        "a switch of kvm_sev_snp_launch_finish is neither 0 nor 1",
    );
    cx.require(
        guest.sev_fd.is_none_or(|started| started == command.sev_fd),
        "/dev/sev has another number than at LAUNCH_START",
    );
    strict::blocked_signals(cx);
    let (block_addr, auth_addr, has_block) = (args.u64(0), args.u64(8), args.u8(16) != 0);
    cx.note.detail = Some(format!(
        "id_block_en={has_block} auth_key_en={} vcek_disabled={} host_data={}",
        args.u8(17) != 0,
        args.u8(18) != 0,
        hex(&args.bytes::<32>(19)),
    ));
    if args.u16(54) != 0 {
        return Err(Errno::EINVAL);
    }
    measure_vcpus(cx, vm, guest, command, features, status)?;
    let mut block = None;
    if has_block {
        let given = blob::<96>(cx, block_addr)?;
        let auth = blob::<4096>(cx, auth_addr)?;
        let blobs = format!(
            " id_block={} id_auth=sha384:{}",
            hex(given.as_slice()),
            hex(&Sha384::digest(auth.as_slice())),
        );
        cx.note.detail.get_or_insert_default().push_str(&blobs);
        block = Some(given);
    }
    // Through the number that LAUNCH_START was given, not this call's.
    let sev_fd = guest.sev_fd.unwrap_or(command.sev_fd);
    let issued = firmware::issue(cx, guest, sev_fd, command.effect);
    let issued = issued.and_then(|()| check_block(cx, guest, block));
    firmware::answer(issued, status)?;
    guest.context = Context::Finished;
    cx.world.tell(What::Digest {
        vm: vm.id,
        digest: hex(guest.digest.bytes()),
    });
    Ok(())
}

/// `snp_launch_update_vmsa()`: every vCPU that there is, in order of index.
fn measure_vcpus(
    cx: &Cx<'_>,
    vm: &mut Common,
    guest: &mut Snp,
    command: Command,
    features: u64,
    status: &mut u32,
) -> Answer<()> {
    if command.effect == Some(Effect::VcpuCreationRace) {
        return Err(Errno::EBUSY);
    }
    let is_again = matches!(guest.context, Context::Measured | Context::Finished);
    cx.require(!is_again, "LAUNCH_FINISH after one that measured the VMSAs");
    if is_again && cx.profile().finish_sees_protected() && !vm.vcpus.is_empty() {
        return Err(Errno::EINVAL);
    }
    if guest.context != Context::Launching {
        return firmware::answer(Err(Refusal::status(INVALID_GUEST_STATE)), status);
    }
    for vcpu in vm.vcpus.values_mut() {
        firmware::answer(firmware::issue(cx, guest, command.sev_fd, None), status)?;
        guest.digest.extend(VMSA, &vmsa(vcpu, features), VMSA_GPA);
        guest.context = Context::Measured;
        vcpu.protected = true;
    }
    Ok(())
}

/// `psp_copy_user_blob()`, `drivers/crypto/ccp/sev-dev.c`.
fn blob<const N: usize>(cx: &Cx<'_>, addr: u64) -> Answer<Box<[u8; N]>> {
    if addr == 0 {
        return Err(Errno::EINVAL);
    }
    cx.read(addr).map(Box::new)
}

/// What firmware compares of an ID block: {launch_digest[48]@0, …, policy u64@88}. Its signature is not checked.
fn check_block(cx: &Cx<'_>, guest: &Snp, block: Option<Box<[u8; 96]>>) -> Result<(), Refusal> {
    let Some(block) = block.filter(|_| cx.script.checks_id_block) else {
        return Ok(());
    };
    let block = Fields(*block);
    if block.bytes::<48>(0) != *guest.digest.bytes() {
        return Err(Refusal::status(BAD_MEASUREMENT));
    }
    if block.u64(88) != guest.policy {
        return Err(Refusal::status(POLICY_FAILURE));
    }
    Ok(())
}
