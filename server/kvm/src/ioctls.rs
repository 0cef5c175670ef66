//! The ioctls that this crate makes for a launch that is made, by number, for a filter of system calls.
//!
//! What makes a launch (its VM, its memory, its settings) is not among them: a process is confined in between.
//!
//! **Invariant:** a name that any method of this crate gives to an ioctl is in this list, or in the test's list of those that make a launch; the test
//! reads the source for it.

use std::mem::size_of;

use kvm_bindings::{
    kvm_cpuid2, kvm_msrs, kvm_regs, kvm_sregs, kvm_translation, kvm_userspace_memory_region2,
};

use crate::abi::{self, READ, WRITE, request};

/// An ioctl: what messages and traces call it, and its number.
pub type Ioctl = (&'static str, u32);

/// What is done with a launch that is made: pages, vCPUs, their run, its end.
pub const ONCE_MADE: [Ioctl; 13] = [
    ("KVM_CHECK_EXTENSION", number(request(0, 0x03, 0))),
    ("KVM_CREATE_VCPU", number(request(0, 0x41, 0))),
    // With a size of zero it deletes a memslot, which is how memory is given back.
    (
        "KVM_SET_USER_MEMORY_REGION2",
        number(request(
            WRITE,
            0x49,
            size_of::<kvm_userspace_memory_region2>(),
        )),
    ),
    ("KVM_RUN", number(abi::KVM_RUN)),
    (
        "KVM_GET_REGS",
        number(request(READ, 0x81, size_of::<kvm_regs>())),
    ),
    (
        "KVM_SET_REGS",
        number(request(WRITE, 0x82, size_of::<kvm_regs>())),
    ),
    (
        "KVM_GET_SREGS",
        number(request(READ, 0x83, size_of::<kvm_sregs>())),
    ),
    (
        "KVM_SET_SREGS",
        number(request(WRITE, 0x84, size_of::<kvm_sregs>())),
    ),
    (
        "KVM_TRANSLATE",
        number(request(READ | WRITE, 0x85, size_of::<kvm_translation>())),
    ),
    (
        "KVM_SET_MSRS",
        number(request(WRITE, 0x89, size_of::<kvm_msrs>())),
    ),
    ("KVM_SET_SIGNAL_MASK", number(abi::KVM_SET_SIGNAL_MASK)),
    (
        "KVM_SET_CPUID2",
        number(request(WRITE, 0x90, size_of::<kvm_cpuid2>())),
    ),
    ("KVM_MEMORY_ENCRYPT_OP", number(abi::KVM_MEMORY_ENCRYPT_OP)),
];

/// The kernel's type of a request is `unsigned int` (`SYSCALL_DEFINE3(ioctl)`, fs/ioctl.c).
const fn number(request: libc::c_ulong) -> u32 {
    assert!(request >> 32 == 0);
    (request & 0xffff_ffff) as u32
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// What makes a launch, or tells what the machine has for it.
    const TO_MAKE: [&str; 7] = [
        "KVM_GET_API_VERSION",
        "KVM_CREATE_VM",
        "KVM_GET_SUPPORTED_CPUID",
        "KVM_GET_DEVICE_ATTR",
        "KVM_ENABLE_CAP",
        "KVM_CREATE_GUEST_MEMFD",
        "KVM_SET_MEMORY_ATTRIBUTES",
    ];

    /// What the kernel's headers make of them (`include/uapi/linux/kvm.h`).
    #[test]
    fn the_numbers_are_the_kernels() {
        let known = [
            ("KVM_RUN", 0xae80),
            ("KVM_SET_CPUID2", 0x4008_ae90),
            ("KVM_GET_REGS", 0x8090_ae81),
            ("KVM_SET_SREGS", 0x4138_ae84),
            ("KVM_TRANSLATE", 0xc018_ae85),
            ("KVM_SET_USER_MEMORY_REGION2", 0x40a0_ae49),
            ("KVM_MEMORY_ENCRYPT_OP", 0xc008_aeba),
            ("KVM_SET_MSRS", 0x4008_ae89),
        ];
        for known in known {
            assert!(ONCE_MADE.contains(&known), "{known:?}");
        }
    }

    #[test]
    fn every_ioctl_that_a_method_names_is_in_a_list() {
        let mut named = BTreeSet::new();
        read(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut named,
        );
        // Commands behind KVM_MEMORY_ENCRYPT_OP and capabilities behind KVM_CHECK_EXTENSION are not ioctls.
        let is_inner =
            |name: &str| ["KVM_CAP_", "KVM_SEV_", "KVM_TDX_"].map(|inner| name.starts_with(inner));
        // The one ioctl that carries these commands goes by their names in errors.
        let carried = |name: &String| ["KVM_SEV_", "KVM_TDX_"].map(|inner| name.starts_with(inner));
        if named.iter().any(|name| carried(name).contains(&true)) {
            named.insert("KVM_MEMORY_ENCRYPT_OP".to_owned());
        }
        named.retain(|name| !is_inner(name).contains(&true));
        assert!(named.contains("KVM_RUN"), "the source was not read");
        let once_made = ONCE_MADE.iter().map(|(name, _)| *name);
        for name in once_made.chain(TO_MAKE) {
            assert!(named.remove(name), "{name} is made by nobody");
        }
        let forgotten = named;
        assert!(forgotten.is_empty(), "in neither list: {forgotten:?}");
    }

    /// The first words of string literals that begin with `KVM_`.
    fn read(dir: &Path, named: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                read(&path, named);
            } else if !path.ends_with("ioctls.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let literals = text.split("\"KVM_").skip(1);
                let name = |rest: &str| {
                    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                    format!("KVM_{}", &rest[..end.unwrap_or(rest.len())])
                };
                named.extend(literals.map(name).filter(|name| name != "KVM_"));
            }
        }
    }
}
