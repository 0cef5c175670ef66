//! What this crate claims, on the real device.
//!
//! A machine without KVM or without mappable guest_memfd is told so in one visible line per test; what is present and fails is a
//! failure. The cases follow `tools/testing/selftests/kvm/guest_memfd_test.c` and `set_memory_region_test.c` as far as this API reaches.
//!
//! **Invariant:** no test touches memory that it did not make.

mod confidential;
mod guest_memfd;
mod mapping;
mod memslot;
mod private;
mod vcpu;

use std::io::{self, Write};

use crate::{Cap, GuestMemfd, GuestMemfdFlags, Kvm, KvmError, PAGE_SIZE, Vm, VmType};

const SHARED: GuestMemfdFlags = GuestMemfdFlags::MMAP.union(GuestMemfdFlags::INIT_SHARED);

/// Opens KVM, or says visibly that there is none.
fn kvm(test: &str) -> Option<Kvm> {
    match Kvm::open() {
        Ok(kvm) => Some(kvm),
        Err(error)
            if matches!(
                error.errno(),
                Some(libc::ENOENT | libc::ENODEV | libc::ENXIO | libc::EACCES)
            ) =>
        {
            missing(test, &error.to_string());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Creates a VM whose guest_memfds can be mapped, or says visibly what is missing.
fn vm(test: &str) -> Option<Vm> {
    let kvm = kvm(test)?;
    if kvm.check_extension(Cap::GuestMemfdFlags).unwrap() == 0 {
        missing(test, "KVM_CAP_GUEST_MEMFD_FLAGS (244), Linux 6.18");
        return None;
    }
    let vm = kvm.create_vm(VmType::Default).unwrap();
    assert!(vm.guest_memfd_flags().unwrap().contains(SHARED));
    Some(vm)
}

fn missing(test: &str, what: &str) {
    // Not a print macro: the test harness would swallow the line.
    writeln!(io::stderr().lock(), "{test}: not run, missing here: {what}").unwrap();
}

fn memory(vm: &Vm, pages: u64) -> GuestMemfd {
    vm.create_guest_memfd(pages * PAGE_SIZE, SHARED).unwrap()
}

fn errno<T: std::fmt::Debug>(result: Result<T, KvmError>) -> Option<i32> {
    result.unwrap_err().errno()
}

#[test]
fn the_device_answers_what_is_asked() {
    let Some(kvm) = kvm("the_device_answers_what_is_asked") else {
        return;
    };
    assert_eq!(kvm.api_version().unwrap(), kvm_bindings::KVM_API_VERSION);
    assert!(kvm.check_extension(Cap::NrMemslots).unwrap() >= 32);
    let types = kvm.vm_types().unwrap();
    for vm_type in [VmType::SwProtected, VmType::SevSnp, VmType::Tdx] {
        let created = kvm.create_vm(vm_type);
        assert_eq!(
            created.is_ok(),
            types.contains(vm_type),
            "{vm_type:?}: {created:?}"
        );
    }
}

/// The kernel's flags of the mapping that holds an address (proc(5), `/proc/pid/smaps`).
pub(crate) fn vm_flags(at: usize) -> String {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let holds = |line: &str| {
        let range = line.split_whitespace().next()?;
        let (start, end) = range.split_once('-')?;
        let bound = |text| usize::from_str_radix(text, 16).ok();
        Some((bound(start)?..bound(end)?).contains(&at))
    };
    let mapping = smaps.lines().skip_while(|line| holds(line) != Some(true));
    let flags = mapping
        .filter_map(|line| line.strip_prefix("VmFlags:"))
        .next();
    flags.expect("a mapping that holds the address").to_owned()
}
