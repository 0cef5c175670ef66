//! The commands of SEV-SNP and TDX where they cannot succeed: on a plain VM.
//!
//! What they do where they can is tested against a model of the kernel, and on machines that have them, from outside of this crate.

use super::{errno, kvm, missing, vm};
use crate::{
    Attempt, CpuidTable, Gfn, GfnRange, IdBlock, Kvm, KvmError, PageBuf, PageType, SevDevice,
    SnpFinish, SnpInit, SnpStart, TdxInit, Vm, VmType,
};

/// What the kernel says to a command for another type of VM: ENOTTY from a KVM without such VMs, else ENOTTY or EINVAL
/// (`sev_mem_enc_ioctl()`, `arch/x86/kvm/svm/sev.c`; `vt_mem_enc_ioctl()`, `arch/x86/kvm/vmx/main.c`).
const REFUSALS: [Option<i32>; 2] = [Some(libc::ENOTTY), Some(libc::EINVAL)];

fn range(start: u64, pages: u64) -> GfnRange {
    GfnRange::new(Gfn::new(start).unwrap(), pages).unwrap()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(op: &str, result: Result<T, KvmError>) {
    let error = result.unwrap_err();
    assert!(matches!(error, KvmError::Kernel { .. }), "{error:?}");
    assert_eq!(error.op(), op);
    assert!(REFUSALS.contains(&error.errno()), "{error}");
    assert_eq!((error.firmware_status(), error.hw_error()), (None, None));
}

#[track_caller]
fn nothing_installed(op: &str, attempt: Attempt) {
    assert_eq!(attempt.pages, 0);
    refused(op, attempt.outcome);
}

/// A plain VM, or a visible word where SEV, which numbers its commands from zero as TDX does, would take one of TDX for its own.
fn vm_without_sev(test: &str) -> Option<Vm> {
    const SEV: u32 = 1 << kvm_bindings::KVM_X86_SEV_VM;
    if kvm(test)?.vm_types().unwrap().bits() & SEV != 0 {
        missing(test, "a host without SEV");
        return None;
    }
    vm(test)
}

#[test]
fn a_plain_vm_takes_no_command_of_snp() {
    let Some(vm) = vm("a_plain_vm_takes_no_command_of_snp") else {
        return;
    };
    let sev = SevDevice::stand_in();
    let start = SnpStart {
        policy: 0x30000,
        ..Default::default()
    };
    let finish = SnpFinish {
        id_block: Some(IdBlock {
            block: &[1; 96],
            auth: &[2; 4096],
            author_key: true,
        }),
        host_data: [3; 32],
        vcek_disabled: true,
    };
    refused("KVM_SEV_INIT2", vm.sev_init2(SnpInit::default()));
    refused(
        "KVM_SEV_SNP_LAUNCH_START",
        vm.snp_launch_start(&sev, &start),
    );
    refused(
        "KVM_SEV_SNP_LAUNCH_FINISH",
        vm.snp_launch_finish(&sev, &finish),
    );
}

#[test]
fn a_plain_vm_installs_no_page_of_any_type() {
    let Some(vm) = vm("a_plain_vm_installs_no_page_of_any_type") else {
        return;
    };
    let sev = SevDevice::stand_in();
    let mut source = PageBuf::new(4).unwrap();
    source.as_mut_slice().fill(0x5a);
    for page_type in PageType::ALL {
        let (pages, source) = match page_type {
            PageType::Normal | PageType::Unmeasured => (4, Some(&mut source)),
            PageType::Secrets | PageType::Cpuid => (1, Some(&mut source)),
            PageType::Zero => (512, None),
        };
        nothing_installed(
            "KVM_SEV_SNP_LAUNCH_UPDATE",
            vm.snp_launch_update(&sev, range(0x10, pages), page_type, source),
        );
    }
    assert!(source.as_slice().iter().all(|byte| *byte == 0x5a));
}

#[test]
fn sources_that_are_missing_or_short_never_reach_the_kernel() {
    let Some(vm) = vm("sources_that_are_missing_or_short_never_reach_the_kernel") else {
        return;
    };
    let sev = SevDevice::stand_in();
    let mut source = PageBuf::new(2).unwrap();
    for (page_type, pages, given, room) in [
        (PageType::Normal, 3, true, 2),
        (PageType::Unmeasured, 1 << 40, true, 2),
        (PageType::Secrets, 2, true, 1),
        (PageType::Cpuid, 2, true, 1),
        (PageType::Normal, 1, false, 0),
        (PageType::Unmeasured, 1, false, 0),
        (PageType::Secrets, 1, false, 0),
        (PageType::Cpuid, 1, false, 0),
    ] {
        let source = given.then_some(&mut source);
        let attempt = vm.snp_launch_update(&sev, range(0, pages), page_type, source);
        assert_eq!(attempt.pages, 0);
        let error = attempt.outcome.unwrap_err();
        assert!(
            matches!(error, KvmError::OutOfBounds { first: 0, pages: asked, total, .. }
                if asked == pages && total == room),
            "{page_type} {pages:#x}: {error}"
        );
    }
}

#[test]
fn a_plain_vm_takes_no_command_of_tdx() {
    let Some(vm) = vm_without_sev("a_plain_vm_takes_no_command_of_tdx") else {
        return;
    };
    let init = TdxInit {
        attributes: 0,
        xfam: 3,
        mrconfigid: [1; 48],
        mrowner: [2; 48],
        mrownerconfig: [3; 48],
        cpuid: CpuidTable::from_iter([]),
    };
    refused("KVM_TDX_CAPABILITIES", vm.tdx_capabilities());
    refused("KVM_TDX_INIT_VM", vm.tdx_init_vm(&init));
    refused("KVM_TDX_FINALIZE_VM", vm.tdx_finalize_vm());
}

#[test]
fn a_plain_vcpu_takes_no_command_of_tdx() {
    let Some(vm) = vm("a_plain_vcpu_takes_no_command_of_tdx") else {
        return;
    };
    let vcpu = vm.create_vcpu(0).unwrap();
    let source = PageBuf::new(2).unwrap();
    refused("KVM_TDX_INIT_VCPU", vcpu.tdx_init(0x809000));
    for measure in [true, false] {
        nothing_installed(
            "KVM_TDX_INIT_MEM_REGION",
            vcpu.tdx_init_mem_region(range(0x10, 2), &source, measure),
        );
    }
    let attempt = vcpu.tdx_init_mem_region(range(0x10, 3), &source, true);
    assert_eq!(attempt.pages, 0);
    assert!(matches!(
        attempt.outcome,
        Err(KvmError::OutOfBounds {
            pages: 3,
            total: 2,
            ..
        })
    ));
}

#[test]
fn a_table_beyond_the_kernels_limit_is_refused() {
    let Some((kvm, vm)) = both("a_table_beyond_the_kernels_limit_is_refused") else {
        return;
    };
    let entry = kvm.supported_cpuid().unwrap().entries().next().unwrap();
    let init = TdxInit {
        attributes: 0,
        xfam: 0,
        mrconfigid: [0; 48],
        mrowner: [0; 48],
        mrownerconfig: [0; 48],
        cpuid: CpuidTable::from_iter([entry; 257]),
    };
    assert_eq!(errno(vm.tdx_init_vm(&init)), Some(libc::E2BIG));
    let vcpu = vm.create_vcpu(0).unwrap();
    assert_eq!(errno(vcpu.set_cpuid(&init.cpuid)), Some(libc::E2BIG));
}

#[test]
fn the_features_of_snp_are_known_exactly_where_sev_is() {
    let Some(kvm) = kvm("the_features_of_snp_are_known_exactly_where_sev_is") else {
        return;
    };
    let features = kvm.sev_vmsa_features();
    let policy = kvm.snp_policy_bits().unwrap();
    if kvm.vm_types().unwrap().contains(VmType::SevSnp) {
        features.unwrap();
        assert!(policy.is_none_or(|bits| bits & 1 << 17 != 0), "{policy:x?}");
    } else {
        assert_eq!(errno(features), Some(libc::ENXIO));
        assert_eq!(policy, None);
    }
}

#[test]
fn the_device_of_sev_is_opened_or_says_why_not() {
    match SevDevice::open() {
        Ok(sev) => close_on_exec(&sev),
        Err(error) => {
            assert_eq!(error.op(), "open /dev/sev");
            assert!(
                matches!(
                    error.errno(),
                    Some(libc::ENOENT | libc::ENODEV | libc::ENXIO | libc::EACCES)
                ),
                "{error}"
            );
        }
    }
    close_on_exec(&SevDevice::stand_in());
}

#[track_caller]
fn close_on_exec(sev: &SevDevice) {
    // SAFETY: touches no memory.
    let flags = unsafe { libc::fcntl(sev.fd_number().cast_signed(), libc::F_GETFD) };
    assert_eq!(flags, libc::FD_CLOEXEC);
}

fn both(test: &str) -> Option<(Kvm, Vm)> {
    Some((kvm(test)?, vm(test)?))
}
