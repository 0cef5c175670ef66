//! What `sev-snp` needs, and what KVM takes of its settings.
//!
//! **Invariant:** what KVM takes is what it says; nothing is derived from the kernel's version or the processor's name.

use stagepages_kvm::{Kvm, KvmError, VmType};

use super::{
    Check, Findings,
    caps::{Asked, GUEST_MEMFD, PRIVATE_MEMORY, USER_MEMORY2},
    device::{self, DevKvm},
    locked_memory,
    misc::{self, Resource},
    module::{self, Parameter},
    vm::Typed,
};
use crate::settings::SnpInfo;

const ENABLE: &str = "enable SEV-SNP in firmware setup and the IOMMU (not in passthrough mode), load kvm_amd with sev_snp=1, and see the kernel's log (SEV, ccp)";

const PARAMETER: Parameter = Parameter {
    module: "kvm_amd",
    name: "sev_snp",
    machine: "the machine needs a processor with SEV-SNP (EPYC 7003 or later)",
    kernel: "run Linux 6.11 or later with CONFIG_KVM_AMD_SEV",
    enable: ENABLE,
};

const ASIDS: Resource = Resource {
    key: "sev_es",
    subject: "ASIDs",
    remedy: "give SNP guests ASIDs in firmware setup (a minimum SEV non-ES ASID above 1), and load kvm_amd again",
};

/// Policy bit 17, which every policy has (AMD 56860, section 4.3).
const MUST_BE_ONE: u64 = 1 << 17;

/// Looks at all of it.
pub(super) fn look(dev_kvm: &DevKvm) -> Findings {
    let mut findings = Findings::from(vec![dev_kvm.check.clone()]);
    match &dev_kvm.kvm {
        Some(kvm) => look_at_kvm(kvm, &mut findings),
        None => findings.checks.push(module::check(&PARAMETER, false)),
    }
    findings.checks.push(device::sev());
    findings.checks.push(locked_memory::check());
    findings
}

fn look_at_kvm(kvm: &Kvm, findings: &mut Findings) {
    let Typed {
        checks,
        offered,
        vm,
    } = Typed::look(kvm, VmType::SevSnp, ENABLE);
    findings.checks.push(module::check(&PARAMETER, offered));
    findings.checks.extend(checks);
    let asked = vm.as_ref().map_or(Asked::Device(kvm), Asked::Vm);
    let needs = [USER_MEMORY2, GUEST_MEMFD, PRIVATE_MEMORY];
    findings.checks.extend(needs.map(|need| asked.check(need)));
    if offered {
        look_at_settings(kvm, findings);
        let (check, capacity) = misc::check(ASIDS);
        findings.checks.push(check);
        findings.facts.capacity = capacity;
    }
}

/// What KVM takes, as [`SnpPlatform::new`](crate::platform::SnpPlatform::new) asks for it too.
fn look_at_settings(kvm: &Kvm, findings: &mut Findings) {
    let (policy, policy_bits) = policy(kvm.snp_policy_bits());
    let (features, vmsa_features) = features(kvm.sev_vmsa_features());
    findings.checks.extend([policy, features]);
    findings.facts.snp = policy_bits
        .zip(vmsa_features)
        .map(|(policy_bits, vmsa_features)| SnpInfo {
            policy_bits,
            vmsa_features,
        });
}

/// Outer `None` if KVM could not be asked, inner if it does not say.
fn policy(answer: Result<Option<u64>, KvmError>) -> (Check, Option<Option<u64>>) {
    let subject = "guest policy bits";
    match answer {
        Ok(None) => {
            let found = "not said by this kernel (6.19 and later say), which judges a policy when it gets one";
            (Check::there(subject, found), Some(None))
        }
        Ok(Some(bits)) if bits & MUST_BE_ONE != 0 => (
            Check::there(subject, format!("{bits:#x}")),
            Some(Some(bits)),
        ),
        Ok(Some(bits)) => {
            let found = format!("{bits:#x}, without bit 17, which every policy has");
            let remedy = "report the kernel's answer to its maintainers, or run another kernel";
            (Check::missing(subject, found, remedy), Some(Some(bits)))
        }
        Err(error) => {
            let remedy = "see the kernel's log (kvm_amd)";
            (Check::missing(subject, error.to_string(), remedy), None)
        }
    }
}

fn features(answer: Result<u64, KvmError>) -> (Check, Option<u64>) {
    let subject = "VMSA features";
    match answer {
        Ok(bits) => (Check::there(subject, format!("{bits:#x}")), Some(bits)),
        Err(error) => {
            let remedy = "run Linux 6.11 or later, which has this attribute of /dev/kvm";
            (Check::missing(subject, error.to_string(), remedy), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    fn error() -> KvmError {
        KvmError::from_errno("KVM_GET_DEVICE_ATTR", Errno::ENXIO as i32)
    }

    #[test]
    fn a_policy_mask_is_told_where_the_kernel_tells_it() {
        let (check, bits) = policy(Ok(Some(0x3f_ffff)));
        assert_eq!(
            (check.ok, check.found.as_str(), bits),
            (true, "0x3fffff", Some(Some(0x3f_ffff)))
        );
        let (check, bits) = policy(Ok(None));
        assert_eq!((check.ok, bits), (true, Some(None)), "{check:?}");
        let (check, bits) = policy(Ok(Some(0x1_ffff)));
        assert_eq!((check.ok, bits), (false, Some(Some(0x1_ffff))), "{check:?}");
        let (check, bits) = policy(Err(error()));
        assert_eq!((check.ok, bits), (false, None), "{check:?}");
    }

    #[test]
    fn features_are_told_none_too() {
        let (check, bits) = features(Ok(0));
        assert_eq!(
            (check.ok, check.found.as_str(), bits),
            (true, "0x0", Some(0))
        );
        let (check, bits) = features(Err(error()));
        assert_eq!((check.ok, bits), (false, None), "{check:?}");
    }
}
