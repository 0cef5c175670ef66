//! Creating a guest_memfd, and what its descriptor can and cannot do.

use std::io;

use super::{SHARED, errno, memory, vm};
use crate::{GuestMemfd, GuestMemfdFlags, PAGE_SIZE};

fn fd(memory: &GuestMemfd) -> libc::c_int {
    memory.fd_number().cast_signed()
}

/// What `fstat` says of the descriptor.
fn stat(memory: &GuestMemfd) -> libc::stat {
    // SAFETY: all-zero is a valid `stat`, which holds numbers only.
    let mut stat = unsafe { std::mem::zeroed::<libc::stat>() };
    // SAFETY: the kernel writes one `stat`, borrowed mutably.
    let ret = unsafe { libc::fstat(fd(memory), &raw mut stat) };
    assert_eq!(ret, 0);
    stat
}

#[test]
fn sizes_that_are_not_whole_pages_are_refused() {
    let Some(vm) = vm("sizes_that_are_not_whole_pages_are_refused") else {
        return;
    };
    for bytes in (1..PAGE_SIZE).chain([0, PAGE_SIZE + 1, 1 << 63, u64::MAX]) {
        assert_eq!(
            errno(vm.create_guest_memfd(bytes, SHARED)),
            Some(libc::EINVAL),
            "{bytes:#x}"
        );
    }
}

#[test]
fn a_flag_is_accepted_exactly_when_the_kernel_offers_it() {
    let Some(vm) = vm("a_flag_is_accepted_exactly_when_the_kernel_offers_it") else {
        return;
    };
    let offered = vm.guest_memfd_flags().unwrap();
    for bit in 0..64 {
        let flag = GuestMemfdFlags::from_bits(1 << bit);
        let created = vm.create_guest_memfd(PAGE_SIZE, flag);
        assert_eq!(
            created.is_ok(),
            offered.contains(flag),
            "{flag:?}: {created:?}"
        );
        if !offered.contains(flag) {
            assert_eq!(errno(created), Some(libc::EINVAL), "{flag:?}");
        }
    }
}

#[test]
fn the_descriptor_is_close_on_exec() {
    let Some(vm) = vm("the_descriptor_is_close_on_exec") else {
        return;
    };
    for flags in [SHARED, GuestMemfdFlags::NONE] {
        let memory = vm.create_guest_memfd(PAGE_SIZE, flags).unwrap();
        // SAFETY: touches no memory.
        let close_on_exec = unsafe { libc::fcntl(fd(&memory), libc::F_GETFD) };
        assert_eq!(close_on_exec, libc::FD_CLOEXEC, "{flags:?}");
    }
}

#[test]
fn two_memories_are_two_inodes_of_their_own_size() {
    let Some(vm) = vm("two_memories_are_two_inodes_of_their_own_size") else {
        return;
    };
    let (small, large) = (memory(&vm, 1), memory(&vm, 16));
    let (small_stat, large_stat) = (stat(&small), stat(&large));
    assert_ne!(small_stat.st_ino, large_stat.st_ino);
    assert_eq!((small_stat.st_size, large_stat.st_size), (0x1000, 0x10000));
    assert_eq!(small_stat.st_blksize, 0x1000);
    assert_eq!((large.bytes(), large.page_count()), (0x10000, 16));
}

#[test]
fn it_is_no_file_to_read_or_write() {
    let Some(vm) = vm("it_is_no_file_to_read_or_write") else {
        return;
    };
    let memory = memory(&vm, 1);
    let mut bytes = [0_u8; 8];
    let (data, length) = (bytes.as_mut_ptr().cast(), bytes.len());
    let errno = || io::Error::last_os_error().raw_os_error();
    // SAFETY: the kernel reads at most `length` bytes at `data`, which are those of `bytes`.
    let written = unsafe { libc::pwrite(fd(&memory), data, length, 0) };
    assert_eq!((written, errno()), (-1, Some(libc::ESPIPE)));
    // SAFETY: the kernel writes at most `length` bytes at `data`, which are those of `bytes`.
    let read = unsafe { libc::pread(fd(&memory), data, length, 0) };
    assert_eq!((read, errno()), (-1, Some(libc::ESPIPE)));
}

#[test]
fn allocation_stays_inside_and_wants_pages() {
    let Some(vm) = vm("allocation_stays_inside_and_wants_pages") else {
        return;
    };
    let memory = memory(&vm, 4);
    memory.allocate(0, 4).unwrap();
    memory.allocate(1, 2).unwrap();
    for (first, pages) in [(0, 0), (4, 1), (3, 2), (0, 5), (u64::MAX, 1), (0, u64::MAX)] {
        assert_eq!(
            errno(memory.allocate(first, pages)),
            Some(libc::EINVAL),
            "{first:#x} {pages:#x}"
        );
    }
}

#[test]
fn memory_without_the_flag_cannot_be_mapped() {
    let Some(vm) = vm("memory_without_the_flag_cannot_be_mapped") else {
        return;
    };
    for flags in [GuestMemfdFlags::NONE, GuestMemfdFlags::INIT_SHARED] {
        let memory = vm.create_guest_memfd(PAGE_SIZE, flags).unwrap();
        assert_eq!(errno(memory.map()), Some(libc::ENODEV), "{flags:?}");
    }
}

#[test]
fn memory_outlives_the_descriptor_of_its_vm() {
    let Some(vm) = vm("memory_outlives_the_descriptor_of_its_vm") else {
        return;
    };
    let mut mapping = memory(&vm, 1).map().unwrap();
    drop(vm);
    mapping.populate(0, 1).unwrap();
    mapping.copy_in(0, b"still here").unwrap();
    assert!(mapping.pages(0, 1).unwrap().starts_with(b"still here"));
}
