//! What keeps a TDX launch from being made.
//!
//! **Invariant:** of a launch that is not made nothing remains, so its name is free.
use stagepages_kernel_model::{Call, Effect, Fault};

use crate::faults::row::{Expect, NO_CAPACITY, Row, UNAVAILABLE, no_launch};

const INIT_VM: &str = "tdx_td_init(), arch/x86/kvm/vmx/tdx.c";
const CAPABILITIES: &str = "tdx_get_capabilities(), arch/x86/kvm/vmx/tdx.c";
const ENABLE_CAP: &str = "kvm_vm_ioctl_enable_cap(), arch/x86/kvm/x86.c";
const CREATE_VM: &str = "kvm_dev_ioctl_create_vm(), virt/kvm/kvm_main.c";
const GUEST_MEMFD: &str = "kvm_gmem_create(), virt/kvm/guest_memfd.c";
const MEMSLOT: &str = "kvm_set_memory_region(), virt/kvm/kvm_main.c";
const ATTRIBUTES: &str = "kvm_vm_ioctl_set_mem_attributes(), virt/kvm/kvm_main.c";
/// What the module answers here.
const CONFIG_NOT_READY: u64 = 0xc000_0503_0000_0000;

pub(super) fn rows() -> Vec<Row> {
    let row = |what: String, source, call, effect, expect: Expect| {
        Row::new(what, source)
            .fault(Fault::at(call, effect))
            .create(expect)
    };
    let init = |reason, errno| no_launch(reason).at("KVM_TDX_INIT_VM").errno(errno);
    let module = Effect::Module {
        status: CONFIG_NOT_READY,
        in_extend: false,
    };
    let mut rows = vec![
        row(
            "no key id is free".to_owned(),
            INIT_VM,
            Call::TdxInitVm,
            Effect::NoHkid,
            init(NO_CAPACITY, "ENOSPC").says("HKID"),
        ),
        row(
            "there is no memory for the TD".to_owned(),
            INIT_VM,
            Call::TdxInitVm,
            Effect::Errno(12),
            init(NO_CAPACITY, "ENOMEM"),
        ),
        row(
            "the module makes no TD".to_owned(),
            INIT_VM,
            Call::TdxInitVm,
            module,
            init(UNAVAILABLE, "EIO").module(CONFIG_NOT_READY),
        ),
        row(
            "the VM is dead from the start".to_owned(),
            INIT_VM,
            Call::TdxInitVm,
            Effect::Dead,
            init(UNAVAILABLE, "EIO"),
        ),
    ];
    for (call, name, source) in [
        (Call::CreateVm, "KVM_CREATE_VM", CREATE_VM),
        (Call::TdxCapabilities, "KVM_TDX_CAPABILITIES", CAPABILITIES),
        (
            Call::EnableCap,
            "KVM_ENABLE_CAP KVM_CAP_SPLIT_IRQCHIP",
            ENABLE_CAP,
        ),
        (
            Call::CreateGuestMemfd,
            "KVM_CREATE_GUEST_MEMFD",
            GUEST_MEMFD,
        ),
        (
            Call::SetUserMemoryRegion2,
            "KVM_SET_USER_MEMORY_REGION2",
            MEMSLOT,
        ),
        (
            Call::SetMemoryAttributes,
            "KVM_SET_MEMORY_ATTRIBUTES",
            ATTRIBUTES,
        ),
    ] {
        for (errno, errno_name, reason) in [
            (12, "ENOMEM", NO_CAPACITY),
            (22, "EINVAL", UNAVAILABLE),
            (5, "EIO", UNAVAILABLE),
        ] {
            rows.push(row(
                format!("{name}: {errno_name}"),
                source,
                call,
                Effect::Errno(errno),
                no_launch(reason).at(name).errno(errno_name),
            ));
        }
    }
    rows
}
