//! What `kvm` needs.
//!
//! **Invariant:** says nothing of what a confidential platform needs.

use stagepages_kvm::{Cap, GuestMemfdFlags, VmType};

use super::{
    Findings,
    caps::{Asked, GUEST_MEMFD, Need, USER_MEMORY2},
    device::DevKvm,
    vm,
};

/// Memory that can be mapped and written before the guest runs (`GUEST_MEMFD_FLAG_MMAP`, `GUEST_MEMFD_FLAG_INIT_SHARED`).
const MAPPABLE: Need = Need {
    cap: Cap::GuestMemfdFlags,
    bits: 3,
    remedy: "run Linux 6.18 or later",
};
const _: () = assert!(
    (GuestMemfdFlags::MMAP.union(GuestMemfdFlags::INIT_SHARED)).bits() == MAPPABLE.bits as u64
);

/// Looks at all of it.
pub(super) fn look(dev_kvm: &DevKvm) -> Findings {
    let mut checks = vec![dev_kvm.check.clone()];
    if let Some(kvm) = &dev_kvm.kvm {
        let (made, vm) = vm::create(kvm, VmType::Default);
        let asked = vm.as_ref().map_or(Asked::Device(kvm), Asked::Vm);
        checks.push(made);
        checks.extend([USER_MEMORY2, GUEST_MEMFD, MAPPABLE].map(|need| asked.check(need)));
    }
    checks.into()
}
