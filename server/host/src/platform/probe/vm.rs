//! A bare VM of a platform's type: to see that one can be made, and to ask it what depends on its type.
//!
//! Nothing else of the machine is taken by `KVM_CREATE_VM`: an ASID is by INIT2 (`__sev_guest_init()`, arch/x86/kvm/svm/sev.c), a key id by INIT_VM (`__tdx_td_init()`,
//! arch/x86/kvm/vmx/tdx.c).
//!
//! **Invariant:** no memory, no vCPU and no command of a launch is ever given to it.

use stagepages_kvm::{Cap, Kvm, KvmError, Vm, VmType, VmTypes, errno_name};

use super::Check;

const CREATE_VM: &str = "KVM_CREATE_VM";

/// The type of a confidential platform's VMs: whether KVM offers it, and a bare VM of it.
#[derive(Debug)]
pub(super) struct Typed {
    /// That KVM offers the type; if it does, that a VM could be made.
    pub(super) checks: Vec<Check>,
    /// KVM offers it. If not, that is the cause of whatever its VMs, settings and numbers would have to say.
    pub(super) offered: bool,
    /// The VM.
    pub(super) vm: Option<Vm>,
}

impl Typed {
    /// Looks; `enable` is what makes KVM offer it.
    pub(super) fn look(kvm: &Kvm, vm_type: VmType, enable: &str) -> Self {
        let offers = judge_type(kvm.vm_types(), vm_type, enable);
        if !offers.ok {
            return Self {
                checks: vec![offers],
                offered: false,
                vm: None,
            };
        }
        let (made, vm) = create(kvm, vm_type);
        Self {
            checks: vec![offers, made],
            offered: true,
            vm,
        }
    }
}

fn judge_type(types: Result<VmTypes, KvmError>, vm_type: VmType, enable: &str) -> Check {
    let name = Cap::VmTypes.name();
    match types {
        Ok(types) => {
            let found = format!("{:#x}, need {:#x}", types.bits(), vm_type.bit());
            if types.contains(vm_type) {
                Check::there(name, found)
            } else {
                Check::missing(name, found, enable)
            }
        }
        Err(error) => Check::missing(name, error.to_string(), enable),
    }
}

/// Makes a bare VM.
pub(super) fn create(kvm: &Kvm, vm_type: VmType) -> (Check, Option<Vm>) {
    match kvm.create_vm(vm_type) {
        Ok(vm) => {
            let found = format!("made one of type {}", vm_type.abi());
            (Check::there(CREATE_VM, found), Some(vm))
        }
        Err(error) => (refused(vm_type, &error), None),
    }
}

fn refused(vm_type: VmType, error: &KvmError) -> Check {
    let remedy = match error.errno().map_or("", errno_name) {
        "EBUSY" => "end the other hypervisor that has the processor's virtualisation for itself",
        "ENOMEM" => "free memory, or raise the memory limit of the service's cgroup",
        "EMFILE" | "ENFILE" => "raise the limit on open files (systemd: LimitNOFILE)",
        _ => "see the kernel's log (dmesg) for what KVM says of it",
    };
    let found = format!("type {}: {error}", vm_type.abi());
    Check::missing(CREATE_VM, found, remedy)
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn a_type_is_offered_by_its_bit() {
        let judged = |bits| judge_type(Ok(VmTypes::from_bits(bits)), VmType::SevSnp, "enable it");
        let there = judged(0x11);
        assert_eq!((there.ok, there.found.as_str()), (true, "0x11, need 0x10"));
        let missing = judged(0x2f);
        assert_eq!((missing.ok, missing.remedy.as_str()), (false, "enable it"));
        let error = KvmError::from_errno("KVM_CHECK_EXTENSION", Errno::ENOTTY as i32);
        assert!(!judge_type(Err(error), VmType::SevSnp, "enable it").ok);
    }

    #[test]
    fn a_vm_that_cannot_be_made_has_the_errno_and_a_way_out() {
        for (errno, words) in [
            (Errno::EBUSY, "other hypervisor"),
            (Errno::ENOMEM, "free memory"),
            (Errno::EMFILE, "open files"),
            (Errno::EINVAL, "kernel's log"),
        ] {
            let error = KvmError::from_errno(CREATE_VM, errno as i32);
            let check = refused(VmType::Tdx, &error);
            assert!(!check.ok && check.remedy.contains(words), "{check:?}");
            assert!(
                check.found.starts_with("type 5: KVM_CREATE_VM: "),
                "{check:?}"
            );
        }
    }
}
