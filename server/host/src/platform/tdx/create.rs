//! Making the VM of a TDX launch.
//!
//! **Invariant:** settings, regions and vCPUs are held against what KVM says that it takes before anything is made but the VM that it is asked on,
//! which is gone with a refusal.

use stagepages_kvm::{Cap, Kvm, Vm, VmType};

use super::{TdxPlatform, init::not_initialised, regions, vcpus::Vcpus};
use crate::{
    launch::{Reason, Refusal},
    platform::{
        Memory,
        confidential::{Buffer, back},
        refused::{no_locked_memory, not_made, unavailable},
    },
    settings::{TdxSettings, wrong},
};

/// Interrupt lines of the I/O APIC that the VMM would have: as many as such a chip has.
const IOAPIC_PINS: u32 = 24;

impl TdxPlatform {
    /// A TD with these regions and room for `vcpus` vCPUs, nothing installed.
    ///
    /// # Errors
    /// `InvalidLaunch` with the field that KVM does not take, `PlatformUnavailable`, `NoCapacity`. Nothing remains.
    pub fn new(plan: &Memory<()>, vcpus: u32, settings: &TdxSettings) -> Result<Self, Refusal> {
        let kvm = Kvm::open().map_err(unavailable)?;
        if !kvm.vm_types().map_err(unavailable)?.contains(VmType::Tdx) {
            return Err(no_tdx());
        }
        let supported = kvm.supported_cpuid().map_err(unavailable)?;
        // CAPABILITIES is a question to a VM of this type. It has nothing yet: its key, too, comes with INIT_VM.
        let mut vm = kvm.create_vm(VmType::Tdx).map_err(not_made)?;
        let taken = vm.tdx_capabilities().map_err(not_made)?;
        let init = settings.choose(&taken, &supported)?;
        let bits = init.cpuid.guest_physical_bits().unwrap_or_default();
        regions::check(plan, bits)?;
        check_vcpus(&vm, vcpus)?;
        let buffer = Buffer::new().map_err(no_locked_memory)?;
        vm.enable_split_irqchip(IOAPIC_PINS).map_err(not_made)?;
        vm.tdx_init_vm(&init)
            .map_err(|error| not_initialised(error, &init))?;
        let (memory, attributes_time) = back(&mut vm, plan).map_err(not_made)?;
        let cpuid = supported.with_guest_physical_bits(bits).with_x2apic();
        Ok(Self {
            vcpus: Vcpus::new(vcpus, cpuid.clone()),
            _memory: memory,
            attributes_time,
            vm,
            cpuid,
            buffer,
        })
    }
}

fn no_tdx() -> Refusal {
    let text = "KVM makes no TDX guests here (KVM_CAP_VM_TYPES lacks bit 5); enable TDX in firmware setup and load kvm_intel with tdx=1 on Linux 6.16 or later (GetNodeInfo lists what the platform needs)";
    Refusal::new(Reason::PlatformUnavailable, text)
}

/// Whether the VM can have so many vCPUs. A TD has no more than the machine has processors (`tdx_vm_init()`, arch/x86/kvm/vmx/tdx.c).
fn check_vcpus(vm: &Vm, vcpus: u32) -> Result<(), Refusal> {
    let most = vm.check_extension(Cap::MaxVcpus).map_err(unavailable)?;
    if vcpus <= most {
        return Ok(());
    }
    let text = format!(
        "{vcpus} is more than the {most} that a TD can have here (KVM_CAP_MAX_VCPUS); give fewer"
    );
    Err(wrong("vcpus", &text))
}
