//! Making the VM of an SNP launch.
//!
//! **Invariant:** settings are held against what KVM says that it takes before anything is made.

use nix::errno::Errno;
use stagepages_kvm::{Kvm, KvmError, SevDevice, SnpInit, SnpStart, VmType};

use super::SnpPlatform;
use crate::{
    launch::{Reason, Refusal},
    platform::{
        Memory,
        confidential::{Buffer, back},
        refused::{no_locked_memory, not_made, reason, unavailable},
    },
    settings::{SnpInfo, SnpSettings, wrong},
};

impl SnpPlatform {
    /// A VM with these regions, launch started, nothing installed.
    ///
    /// # Errors
    /// `InvalidLaunch` with the field that KVM does not take, `PlatformUnavailable`, `NoCapacity`, `FirmwareRefused`. Nothing remains.
    pub fn new(plan: &Memory<()>, settings: &SnpSettings) -> Result<Self, Refusal> {
        let kvm = Kvm::open().map_err(unavailable)?;
        settings.check(&info(&kvm).map_err(unavailable)?)?;
        let cpuid = kvm.supported_cpuid().map_err(unavailable)?;
        let sev = SevDevice::open().map_err(unavailable)?;
        let buffer = Buffer::new().map_err(no_locked_memory)?;
        let mut vm = kvm.create_vm(VmType::SevSnp).map_err(not_made)?;
        vm.sev_init2(SnpInit {
            vmsa_features: settings.vmsa_features,
            ghcb_version: settings.ghcb_version,
        })
        .map_err(|error| not_initialised(&error))?;
        let memory = back(&mut vm, plan).map_err(not_made)?;
        vm.snp_launch_start(
            &sev,
            &SnpStart {
                policy: settings.policy,
                gosvw: settings.gosvw,
            },
        )
        .map_err(|error| not_started(&error, settings))?;
        Ok(Self {
            vcpus: Vec::new(),
            _memory: memory,
            vm,
            sev,
            cpuid,
            buffer,
            policy: settings.policy,
        })
    }
}

/// What KVM takes here.
///
/// # Errors
/// What the kernel said.
pub(in crate::platform) fn info(kvm: &Kvm) -> Result<SnpInfo, KvmError> {
    Ok(SnpInfo {
        policy_bits: kvm.snp_policy_bits()?,
        vmsa_features: kvm.sev_vmsa_features()?,
    })
}

/// Why INIT2 failed (`__sev_guest_init()`, arch/x86/kvm/svm/sev.c).
fn not_initialised(error: &KvmError) -> Refusal {
    let errno = error.errno();
    if errno == Some(Errno::EBUSY as i32) {
        let text = format!(
            "{error}: no ASID is free for another SNP guest; end one, or raise the number in firmware setup (GetNodeInfo: capacity)"
        );
        return Refusal::new(Reason::NoCapacity, text).kernel(error);
    }
    if errno == Some(Errno::EINVAL as i32) {
        // The features were checked, and the VM is new: what is left is a protocol version that is too high.
        let text = format!(
            "is more than this kernel speaks ({error}); give a lower version, or leave it unset for 2"
        );
        return wrong("sev_snp.ghcb_version", &text).kernel(error);
    }
    not_begun(error)
}

/// Why LAUNCH_START failed (`snp_launch_start()`, arch/x86/kvm/svm/sev.c).
fn not_started(error: &KvmError, settings: &SnpSettings) -> Refusal {
    if let Some(status) = error.firmware_status() {
        let text = format!(
            "firmware refused {} with status {:#x} ({}): {}; {}",
            error.op(),
            status.get(),
            status.name(),
            status.meaning(),
            status.remedy()
        );
        return Refusal::new(Reason::FirmwareRefused, text).kernel(error);
    }
    if error.errno() == Some(Errno::EINVAL as i32) {
        // Kernels before 6.19 do not say beforehand which bits they take; up to 6.16 they want SMT and refuse SINGLE_SOCKET.
        let text = format!(
            "{:#x} is not taken by this kernel ({error}), which does not say what it takes; 0x30000 is taken by all",
            settings.policy
        );
        return wrong("sev_snp.policy_number", &text).kernel(error);
    }
    not_begun(error)
}

/// Neither the settings nor firmware's word: the secure processor is dead or gone, or something ran out.
fn not_begun(error: &KvmError) -> Refusal {
    let text =
        format!("the launch cannot be started: {error}; see the kernel's log (ccp, kvm_amd)");
    Refusal::new(reason(error), text).kernel(error)
}
