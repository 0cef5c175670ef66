//! The kernel's numbers and structs that no crate has, and a check of the layouts that one has.
//!
//! kvm-bindings proves its structs against the header it was made from; what follows proves them against the kernel that this
//! project was written for (`include/uapi/linux/kvm.h`, Linux 6.18; `arch/x86/include/uapi/asm/kvm.h`, Linux 7.1, in the two files
//! beneath). A struct that kvm-bindings lacks belongs here too.
//!
//! **Invariant:** constants, plain structs and compile-time checks only.

pub(crate) mod sev;
pub(crate) mod tdx;

use std::mem::{offset_of, size_of};

use kvm_bindings::{
    kvm_create_guest_memfd, kvm_device_attr, kvm_memory_attributes, kvm_signal_mask,
    kvm_userspace_memory_region2,
};

/// `KVM_CAP_GUEST_MEMFD_FLAGS`, Linux 6.18: on a VM descriptor, the flags that its guest_memfds may have.
pub(crate) const KVM_CAP_GUEST_MEMFD_FLAGS: u32 = 244;

/// `GUEST_MEMFD_FLAG_MMAP`, Linux 6.18.
pub(crate) const GUEST_MEMFD_FLAG_MMAP: u64 = 1 << 0;

/// `GUEST_MEMFD_FLAG_INIT_SHARED`, Linux 6.18.
pub(crate) const GUEST_MEMFD_FLAG_INIT_SHARED: u64 = 1 << 1;

/// `KVM_RUN`: `_IO(KVMIO, 0x80)`.
pub(crate) const KVM_RUN: libc::c_ulong = 0xae80;

/// `KVM_SET_SIGNAL_MASK`: `_IOW(KVMIO, 0x8b, struct kvm_signal_mask)`, whose array counts nothing.
pub(crate) const KVM_SET_SIGNAL_MASK: libc::c_ulong = 0x4004_ae8b;

/// `KVM_MEMORY_ENCRYPT_OP`: `_IOWR(KVMIO, 0xba, unsigned long)`, though what it takes is a structure of 24 bytes.
pub(crate) const KVM_MEMORY_ENCRYPT_OP: libc::c_ulong =
    request(READ | WRITE, 0xba, size_of::<libc::c_ulong>());

/// `KVM_GET_DEVICE_ATTR`: `_IOW(KVMIO, 0xe2, struct kvm_device_attr)`.
pub(crate) const KVM_GET_DEVICE_ATTR: libc::c_ulong =
    request(WRITE, 0xe2, size_of::<kvm_device_attr>());

pub(crate) const WRITE: usize = 1;
pub(crate) const READ: usize = 2;

/// The number of an ioctl of KVM (`_IOC()`, `include/uapi/asm-generic/ioctl.h`).
pub(crate) const fn request(direction: usize, number: usize, size: usize) -> libc::c_ulong {
    const KVMIO: usize = 0xae;
    (direction << 30 | size << 16 | KVMIO << 8 | number) as libc::c_ulong
}

const _: () = {
    assert!(KVM_MEMORY_ENCRYPT_OP == 0xc008_aeba);
    assert!(KVM_GET_DEVICE_ATTR == 0x4018_aee2);
};

/// `struct kvm_signal_mask` with its array, whose length must be that of the kernel's own signal set.
#[repr(C)]
pub(crate) struct SignalMask {
    pub(crate) len: u32,
    pub(crate) sigset: [u8; 8],
}

const _: () = {
    assert!(size_of::<SignalMask>() == 12);
    assert!(offset_of!(SignalMask, sigset) == offset_of!(kvm_signal_mask, sigset));
};

const _: () = {
    assert!(size_of::<kvm_create_guest_memfd>() == 64);
    assert!(offset_of!(kvm_create_guest_memfd, size) == 0);
    assert!(offset_of!(kvm_create_guest_memfd, flags) == 8);
    assert!(offset_of!(kvm_create_guest_memfd, reserved) == 16);
};

const _: () = {
    assert!(size_of::<kvm_userspace_memory_region2>() == 160);
    assert!(offset_of!(kvm_userspace_memory_region2, slot) == 0);
    assert!(offset_of!(kvm_userspace_memory_region2, flags) == 4);
    assert!(offset_of!(kvm_userspace_memory_region2, guest_phys_addr) == 8);
    assert!(offset_of!(kvm_userspace_memory_region2, memory_size) == 16);
    assert!(offset_of!(kvm_userspace_memory_region2, userspace_addr) == 24);
    assert!(offset_of!(kvm_userspace_memory_region2, guest_memfd_offset) == 32);
    assert!(offset_of!(kvm_userspace_memory_region2, guest_memfd) == 40);
    assert!(offset_of!(kvm_userspace_memory_region2, pad2) == 48);
};

const _: () = {
    assert!(size_of::<kvm_memory_attributes>() == 32);
    assert!(offset_of!(kvm_memory_attributes, address) == 0);
    assert!(offset_of!(kvm_memory_attributes, size) == 8);
    assert!(offset_of!(kvm_memory_attributes, attributes) == 16);
    assert!(offset_of!(kvm_memory_attributes, flags) == 24);
};
