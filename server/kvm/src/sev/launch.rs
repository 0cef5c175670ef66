//! The commands of an SEV-SNP launch.
//!
//! The kernel runs one command at a time per VM (`sev_mem_enc_ioctl()`, `arch/x86/kvm/svm/sev.c`) and the firmware one at a time per host.
//! Every command needs a VM of [`VmType::SevSnp`](crate::VmType::SevSnp) and is refused on another.
//!
//! **Invariant:** no address reaches the kernel that is not page aligned, mapped and as long as the pages asked for.

use kvm_bindings::{
    kvm_sev_init, kvm_sev_snp_launch_finish, kvm_sev_snp_launch_start, kvm_sev_snp_launch_update,
    sev_cmd_id_KVM_SEV_INIT2, sev_cmd_id_KVM_SEV_SNP_LAUNCH_FINISH,
    sev_cmd_id_KVM_SEV_SNP_LAUNCH_START, sev_cmd_id_KVM_SEV_SNP_LAUNCH_UPDATE,
};

use super::{SevDevice, SnpFinish, SnpInit, SnpStart};
use crate::attempt::{Cursor, Walk};
use crate::encrypt::{self, Command};
use crate::{Attempt, GfnRange, KvmError, PageBuf, PageType, Vm};

const INIT2: Command = Command {
    op: "KVM_SEV_INIT2",
    id: sev_cmd_id_KVM_SEV_INIT2,
};
const START: Command = Command {
    op: "KVM_SEV_SNP_LAUNCH_START",
    id: sev_cmd_id_KVM_SEV_SNP_LAUNCH_START,
};
const UPDATE: Command = Command {
    op: "KVM_SEV_SNP_LAUNCH_UPDATE",
    id: sev_cmd_id_KVM_SEV_SNP_LAUNCH_UPDATE,
};
const FINISH: Command = Command {
    op: "KVM_SEV_SNP_LAUNCH_FINISH",
    id: sev_cmd_id_KVM_SEV_SNP_LAUNCH_FINISH,
};

impl Vm {
    /// Makes the VM one of SEV-SNP (`KVM_SEV_INIT2`): before any vCPU, and once. Takes one of the host's ASIDs for the life of the VM.
    ///
    /// # Errors
    ///
    /// * `EINVAL` if a vCPU exists, for features or a version of the protocol that this KVM lacks, or for another type of VM.
    /// * `EPERM` the second time.
    /// * `EBUSY` without a free ASID.
    /// * [`KvmError::Firmware`] if the firmware did not start.
    /// * `ENOTTY` where KVM has no SEV; `EIO` outside the creating process.
    pub fn sev_init2(&self, init: SnpInit) -> Result<(), KvmError> {
        let mut data = kvm_sev_init {
            vmsa_features: init.vmsa_features,
            ghcb_version: init.ghcb_version,
            ..Default::default()
        };
        // SAFETY: the kernel reads `data`, the structure of this command, which holds no address.
        unsafe { encrypt::sev(self.fd(), INIT2, None, &mut data) }
    }

    /// Begins the launch (`KVM_SEV_SNP_LAUNCH_START`): the firmware makes the guest's context and fixes its policy.
    ///
    /// # Errors
    ///
    /// * `EINVAL` if it was begun, or for a policy that KVM does not take: reserved bits, bit 17 missing, and up to Linux 6.16 also without
    ///   the SMT bit or with SINGLE_SOCKET. On Linux 6.11 every later attempt is then `EINVAL` too.
    /// * [`KvmError::Firmware`], with `ENOTTY` or `EIO`, if the firmware refuses. It can be asked again.
    /// * `EBADF` if `sev` is no longer the device; `ENOTTY` without SEV or for another type of VM; `EIO` outside the creating process.
    pub fn snp_launch_start(&self, sev: &SevDevice, start: &SnpStart) -> Result<(), KvmError> {
        let mut data = kvm_sev_snp_launch_start {
            policy: start.policy,
            gosvw: start.gosvw,
            ..Default::default()
        };
        // SAFETY: the kernel reads `data`, the structure of this command, which holds no address.
        unsafe { encrypt::sev(self.fd(), START, Some(sev), &mut data) }
    }

    /// Installs pages (`KVM_SEV_SNP_LAUNCH_UPDATE`): `range`, from the first pages of `source` on, which [`PageType::Zero`] does not need.
    ///
    /// The frames must be in a memslot with a guest_memfd and private ([`set_private`](Self::set_private)). `source` is mutable because the
    /// kernel writes to it: where the firmware refuses a [`PageType::Cpuid`] page, the values that it would take.
    ///
    /// # Errors
    ///
    /// In [`Attempt::outcome`]:
    ///
    /// * [`KvmError::OutOfBounds`] before the kernel is asked: fewer pages in `source` than in `range`, or more than one page of
    ///   [`PageType::Cpuid`] or [`PageType::Secrets`]. Of those a later one that fails is not told from a success.
    /// * [`KvmError::Firmware`] if the firmware refused the first page. KVM took that page back, unless the VM is dead since.
    /// * `EIO` for all else that stopped the first page, without its cause: it exists, is not private, a signal was pending, no memory …
    /// * `EINVAL` if the launch has not begun, or the first frame has no guest_memfd.
    /// * `EFAULT` if the kernel could not write back; nothing is known then.
    /// * [`KvmError::WroteBack`].
    ///
    /// Where any page was installed, what stopped the next is not said: the outcome is `Ok`, and the count short.
    pub fn snp_launch_update(
        &self,
        sev: &SevDevice,
        range: GfnRange,
        page_type: PageType,
        source: Option<&mut PageBuf>,
    ) -> Attempt {
        let uaddr = match uaddr(range.pages(), page_type, source) {
            Ok(uaddr) => uaddr,
            Err(error) => return Attempt::refused(error),
        };
        let mut data = kvm_sev_snp_launch_update {
            gfn_start: range.start().get(),
            uaddr,
            len: range.bytes(),
            type_: page_type.snp_abi(),
            ..Default::default()
        };
        let before = cursor(&data);
        // SAFETY: the kernel reads and writes `data`, the structure of this command. It reads, and for a refused CPUID page writes, `len`
        // bytes at `uaddr`: no more than `source` has, which is borrowed mutably for all of this method. For zeros it uses no address.
        let outcome = unsafe { encrypt::sev(self.fd(), UPDATE, Some(sev), &mut data) };
        let walk = Walk::snp(page_type == PageType::Zero);
        Attempt::new(UPDATE.op, &walk, before, cursor(&data), outcome)
    }

    /// Ends the launch (`KVM_SEV_SNP_LAUNCH_FINISH`): the save area of every vCPU is measured and encrypted, then the firmware seals the
    /// digest, after comparing it with the ID block if there is one.
    ///
    /// # Errors
    ///
    /// None can be undone, because save areas may be in the digest already:
    ///
    /// * [`KvmError::Firmware`]: the ID block does not fit the launch, or a save area was refused.
    /// * `EINVAL` if the launch has not begun, and from Linux 7.1 on if it was ended before; also for a vCPU that is being debugged.
    /// * `EBUSY` if a vCPU is being created (Linux 7.1).
    /// * `EBADF` if `sev` is not the device that the launch began with; `ENOTTY` as for the start; `EIO` outside the creating process.
    pub fn snp_launch_finish(
        &self,
        sev: &SevDevice,
        finish: &SnpFinish<'_>,
    ) -> Result<(), KvmError> {
        let mut data = kvm_sev_snp_launch_finish {
            vcek_disabled: finish.vcek_disabled.into(),
            host_data: finish.host_data,
            ..Default::default()
        };
        if let Some(id) = &finish.id_block {
            data.id_block_uaddr = id.block.as_ptr().expose_provenance() as u64;
            data.id_auth_uaddr = id.auth.as_ptr().expose_provenance() as u64;
            data.id_block_en = 1;
            data.auth_key_en = id.author_key.into();
        }
        // SAFETY: the kernel reads `data`, the structure of this command, and where `id_block_en` is set 96 bytes at `id_block_uaddr` and
        // 4096 at `id_auth_uaddr`: the arrays of these lengths that `finish` borrows.
        unsafe { encrypt::sev(self.fd(), FINISH, Some(sev), &mut data) }
    }
}

/// The address of the pages to install, 0 for zeros; an error where `source` does not have them.
fn uaddr(pages: u64, page_type: PageType, source: Option<&mut PageBuf>) -> Result<u64, KvmError> {
    let available = source.as_ref().map_or(0, |source| source.page_count());
    let total = match page_type {
        PageType::Zero => return Ok(0),
        PageType::Normal | PageType::Unmeasured => available,
        PageType::Secrets | PageType::Cpuid => available.min(1),
    };
    let refused = KvmError::OutOfBounds {
        op: UPDATE.op,
        first: 0,
        pages,
        total,
    };
    match source {
        Some(source) if pages <= total => Ok(source.expose_mut()),
        _ => Err(refused),
    }
}

fn cursor(data: &kvm_sev_snp_launch_update) -> Cursor {
    Cursor {
        guest: data.gfn_start,
        source: data.uaddr,
        left: data.len,
    }
}
