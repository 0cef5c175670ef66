//! The vCPUs of a TD, through which its pages go in, cannot be made: at the first page.
//!
//! **Invariant:** no page is asked for without them.
use stagepages_kernel_model::{Call, Effect, Fault};

use crate::faults::row::{KERNEL_REFUSED, Row, over};

const CREATE_VCPU: &str =
    "kvm_vm_ioctl_create_vcpu(), virt/kvm/kvm_main.c; tdx_vcpu_create(), arch/x86/kvm/vmx/tdx.c";
const SET_CPUID: &str = "kvm_vcpu_ioctl_set_cpuid2(), arch/x86/kvm/cpuid.c";
const INIT_VCPU: &str = "tdx_vcpu_init(), arch/x86/kvm/vmx/tdx.c";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (call, name, source) in [
        (Call::CreateVcpu, "KVM_CREATE_VCPU", CREATE_VCPU),
        (Call::SetCpuid2, "KVM_SET_CPUID2", SET_CPUID),
        (Call::TdxInitVcpu, "KVM_TDX_INIT_VCPU", INIT_VCPU),
    ] {
        for (errno, errno_name) in [(12, "ENOMEM"), (22, "EINVAL"), (5, "EIO")] {
            rows.push(
                Row::new(format!("{name} of the second vCPU: {errno_name}"), source)
                    .vcpus(2)
                    .fault(Fault::at(call, Effect::Errno(errno)).after(1))
                    .stage_first(over(KERNEL_REFUSED).at(name).errno(errno_name).asked([])),
            );
        }
    }
    let refused = Effect::Module {
        status: 0xc000_0100_0000_0000,
        in_extend: false,
    };
    rows.push(
        Row::new("the module refuses a vCPU", INIT_VCPU)
            .fault(Fault::at(Call::TdxInitVcpu, refused))
            .stage_first(
                over(KERNEL_REFUSED)
                    .at("KVM_TDX_INIT_VCPU")
                    .errno("EIO")
                    .asked([]),
            ),
    );
    rows
}
