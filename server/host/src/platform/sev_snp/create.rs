//! Making the VM of an SNP launch.
//!
//! **Invariant:** settings are held against what KVM says that it takes before anything is made.

use stagepages_digest::vmsa::SNP_ACTIVE;
use stagepages_kvm::{Kvm, KvmError, SevDevice, SnpInit, SnpStart, VmType};

use super::{
    SnpPlatform,
    init::{not_initialised, not_started},
};
use crate::{
    launch::Refusal,
    platform::{
        Memory,
        confidential::{Buffer, back},
        refused::{no_locked_memory, not_made, unavailable},
        vcpus::Vcpus,
    },
    settings::{SnpInfo, SnpSettings},
};

impl SnpPlatform {
    /// A VM with these regions, launch started, nothing installed.
    ///
    /// # Errors
    /// `InvalidLaunch` with the field that KVM does not take, `PlatformUnavailable`, `NoCapacity`, `FirmwareRefused`. Nothing remains.
    pub fn new(plan: &Memory<()>, settings: &SnpSettings) -> Result<Self, Refusal> {
        let kvm = Kvm::open().map_err(unavailable)?;
        let info = info(&kvm).map_err(unavailable)?;
        settings.check(&info)?;
        let cpuid = kvm.supported_cpuid().map_err(unavailable)?;
        let sev = SevDevice::open().map_err(unavailable)?;
        let buffer = Buffer::new().map_err(no_locked_memory)?;
        let mut vm = kvm.create_vm(VmType::SevSnp).map_err(not_made)?;
        vm.sev_init2(SnpInit {
            vmsa_features: settings.vmsa_features,
            ghcb_version: settings.ghcb_version,
        })
        .map_err(|error| not_initialised(&error, settings))?;
        let (memory, attributes_time) = back(&mut vm, plan).map_err(not_made)?;
        vm.snp_launch_start(
            &sev,
            &SnpStart {
                policy: settings.policy,
                gosvw: settings.gosvw,
            },
        )
        .map_err(|error| not_started(&error, settings, &info))?;
        Ok(Self {
            vcpus: Vcpus::default(),
            _memory: memory,
            attributes_time,
            vm,
            sev,
            cpuid,
            buffer,
            policy: settings.policy,
            features: settings.vmsa_features | SNP_ACTIVE,
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
