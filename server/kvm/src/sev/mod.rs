//! AMD SEV-SNP: what the host's KVM allows, and the commands of a launch.
//!
//! ```text
//!  Kvm::create_vm(SevSnp) ─▶ sev_init2 ─▶ create_guest_memfd, set_private_region, set_private
//!                                │                         │
//!                                └──▶ snp_launch_start ──▶ snp_launch_update… ──▶ (vCPUs and their state) ──▶ snp_launch_finish
//! ```
//!
//! **Invariant:** nothing here knows which step a launch is at; the kernel does, and refuses what comes too early or too late.

mod launch;
mod parameters;

use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

pub use self::parameters::{IdBlock, SnpFinish, SnpInit, SnpStart};

use crate::abi::sev::{KVM_X86_GRP_SEV, KVM_X86_SEV_VMSA_FEATURES, KVM_X86_SNP_POLICY_BITS};
use crate::{Kvm, KvmError};

/// The path of the device of AMD's secure processor.
pub const DEV_SEV: &CStr = c"/dev/sev";

/// An open `/dev/sev`: the right to give commands to the firmware.
///
/// KVM keeps the *number* of the descriptor from `KVM_SEV_SNP_LAUNCH_START` to `KVM_SEV_SNP_LAUNCH_FINISH` and looks it up again
/// (`snp_bind_asid()`, `__sev_issue_cmd()`, `arch/x86/kvm/svm/sev.c`): keep one value per launch, the same one, for that long.
#[derive(Debug)]
pub struct SevDevice(OwnedFd);

impl SevDevice {
    /// Opens [`DEV_SEV`] for reading and writing, close-on-exec, through libc's `open`.
    ///
    /// # Errors
    ///
    /// `ENOENT` without the device, `ENODEV` or `ENXIO` without its driver, `EACCES` without permission or where the process is confined.
    pub fn open() -> Result<Self, KvmError> {
        Self::open_at(DEV_SEV)
    }

    fn open_at(path: &CStr) -> Result<Self, KvmError> {
        // SAFETY: the kernel reads `path` up to its zero byte; it is borrowed for the call.
        let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
        if fd < 0 {
            return Err(KvmError::last("open /dev/sev"));
        }
        // SAFETY: touches no memory. The kernel has just made this descriptor for this call, and nobody else knows its number.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// A file that is not the device, for tests of what the kernel says without SEV.
    #[cfg(test)]
    pub(crate) fn stand_in() -> Self {
        Self::open_at(c"/dev/null").unwrap()
    }

    /// The descriptor's number, as a command names it.
    pub(crate) fn fd_number(&self) -> u32 {
        self.0.as_raw_fd().cast_unsigned()
    }
}

impl Kvm {
    /// The features that a VMSA may have here (`KVM_X86_SEV_VMSA_FEATURES`), as the bits of SEV_FEATURES: what
    /// [`SnpInit::vmsa_features`] can ask for.
    ///
    /// # Errors
    ///
    /// `ENXIO` where this KVM has no such attribute, as without SEV (`sev_dev_get_attr()`, `arch/x86/kvm/svm/sev.c`).
    pub fn sev_vmsa_features(&self) -> Result<u64, KvmError> {
        self.attribute(KVM_X86_GRP_SEV, KVM_X86_SEV_VMSA_FEATURES)
    }

    /// The bits of a guest policy that KVM takes, from Linux 6.19 on; `None` where this kernel does not say.
    ///
    /// # Errors
    ///
    /// What the kernel says other than that there is no such attribute (`ENXIO`); nothing else is known for this call.
    pub fn snp_policy_bits(&self) -> Result<Option<u64>, KvmError> {
        match self.attribute(KVM_X86_GRP_SEV, KVM_X86_SNP_POLICY_BITS) {
            Ok(bits) => Ok(Some(bits)),
            Err(error) if error.errno() == Some(libc::ENXIO) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
