//! A mapped guest_memfd: which pages exist, and that failures are errors and not signals.

use std::io::{Seek, Write};
use std::os::fd::AsFd;

use super::{errno, memory, vm};
use crate::{Guest, GuestMemfdFlags, KvmError, Mapping, PAGE_BYTES, PAGE_SIZE};

/// Which of the first `N` pages exist.
fn exists<const N: usize, K>(mapping: &Mapping<K>) -> [u8; N] {
    let mut out = [0xff; N];
    mapping.exists(0, &mut out).unwrap();
    out.map(|page| page & 1)
}

fn file(contents: &[u8]) -> std::fs::File {
    let mut file = tempfile();
    file.write_all(contents).unwrap();
    file.rewind().unwrap();
    file
}

/// An unlinked file.
fn tempfile() -> std::fs::File {
    use std::os::fd::FromRawFd;
    // SAFETY: the kernel reads the name, a constant.
    let fd = unsafe { libc::memfd_create(c"stagepages-test-file".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0);
    // SAFETY: touches no memory; the descriptor is new and known to nobody else.
    unsafe { std::fs::File::from_raw_fd(fd) }
}

#[test]
fn a_page_exists_once_it_was_touched_and_not_before() {
    let Some(vm) = vm("a_page_exists_once_it_was_touched_and_not_before") else {
        return;
    };
    let mut mapping = memory(&vm, 6).map().unwrap();
    assert_eq!(exists(&mapping), [0; 6]);
    mapping.memory().allocate(0, 2).unwrap();
    assert_eq!(exists(&mapping), [0; 6], "allocated only");
    mapping.populate(1, 1).unwrap();
    assert_eq!(exists(&mapping), [0, 1, 0, 0, 0, 0], "populated");
    mapping.copy_in(2, &[1]).unwrap();
    assert_eq!(exists(&mapping), [0, 1, 1, 0, 0, 0], "written");
    assert_eq!(mapping.pages(3, 1).unwrap(), [0; PAGE_BYTES]);
    assert_eq!(exists(&mapping), [0, 1, 1, 1, 0, 0], "read");
    assert_eq!(
        mapping.read_from(4, 1, file(&[2; 10]).as_fd(), 0).unwrap(),
        10
    );
    assert_eq!(exists(&mapping), [0, 1, 1, 1, 1, 0], "read into");
}

#[test]
fn populating_again_keeps_the_contents() {
    let Some(vm) = vm("populating_again_keeps_the_contents") else {
        return;
    };
    let mut mapping = memory(&vm, 2).map().unwrap();
    mapping.copy_in(0, &[5; PAGE_BYTES]).unwrap();
    mapping.populate(0, 2).unwrap();
    assert_eq!(
        mapping.pages(0, 2).unwrap(),
        [[5; PAGE_BYTES], [0; PAGE_BYTES]].concat()
    );
}

#[test]
fn private_pages_are_an_error_and_not_a_signal() {
    let Some(vm) = vm("private_pages_are_an_error_and_not_a_signal") else {
        return;
    };
    let private = vm
        .create_guest_memfd(2 * PAGE_SIZE, GuestMemfdFlags::MMAP)
        .unwrap();
    let mut mapping = private.map().unwrap();
    assert_eq!(errno(mapping.populate(0, 1)), Some(libc::EFAULT));
    assert_eq!(
        errno(mapping.read_from(0, 1, file(&[1; PAGE_BYTES]).as_fd(), 0)),
        Some(libc::EFAULT)
    );
    assert_eq!(exists(&mapping), [0; 2]);
}

#[test]
fn reading_a_file_is_short_at_its_end() {
    let Some(vm) = vm("reading_a_file_is_short_at_its_end") else {
        return;
    };
    let mut mapping = memory(&vm, 4).map().unwrap();
    let file = file(&[[1; PAGE_BYTES], [2; PAGE_BYTES]].concat());
    assert_eq!(
        mapping.read_from(1, 2, file.as_fd(), 0).unwrap(),
        2 * PAGE_BYTES
    );
    assert_eq!(
        mapping
            .read_from(3, 1, file.as_fd(), PAGE_SIZE + 0xf00)
            .unwrap(),
        0x100
    );
    assert_eq!(
        mapping
            .read_from(3, 1, file.as_fd(), 2 * PAGE_SIZE)
            .unwrap(),
        0
    );
    assert_eq!(
        errno(mapping.read_from(3, 1, file.as_fd(), u64::MAX)),
        Some(libc::EINVAL)
    );
    let firsts: Vec<u8> = mapping
        .pages(0, 4)
        .unwrap()
        .iter()
        .copied()
        .step_by(PAGE_BYTES)
        .collect();
    assert_eq!(firsts, [0, 1, 2, 2]);
}

#[test]
fn no_call_reaches_beyond_the_mapping() {
    let Some(vm) = vm("no_call_reaches_beyond_the_mapping") else {
        return;
    };
    let mut mapping: Mapping<Guest> = memory(&vm, 2).map().unwrap();
    let outside = |result: Result<(), KvmError>| {
        matches!(result, Err(KvmError::OutOfBounds { total: 2, .. }))
    };
    let file = file(&[]);
    for (first, pages) in [(0, 3), (1, 2), (2, 1), (3, 0), (u64::MAX, 1), (1, u64::MAX)] {
        assert!(
            outside(mapping.populate(first, pages)),
            "{first:#x} {pages:#x}"
        );
        assert!(
            outside(mapping.read_from(first, pages, file.as_fd(), 0).map(drop)),
            "{first:#x} {pages:#x}"
        );
        assert!(
            outside(mapping.pages(first, pages).map(drop)),
            "{first:#x} {pages:#x}"
        );
    }
    for first in [0, 2, u64::MAX] {
        assert!(
            outside(mapping.copy_in(first, &[0; 2 * PAGE_BYTES + 1])),
            "{first:#x}"
        );
        assert!(outside(mapping.exists(first, &mut [0; 3])), "{first:#x}");
    }
    assert_eq!(exists(&mapping), [0; 2]);
}

#[test]
fn a_tebibyte_is_address_space_only() {
    let Some(vm) = vm("a_tebibyte_is_address_space_only") else {
        return;
    };
    let mut mapping = memory(&vm, 1 << 28).map().unwrap();
    let last = mapping.page_count() - 1;
    mapping.populate(last, 1).unwrap();
    let mut out = [0; 2];
    mapping.exists(last - 1, &mut out).unwrap();
    assert_eq!(out.map(|page| page & 1), [0, 1]);
}

#[test]
fn debug_prints_no_contents() {
    let Some(vm) = vm("debug_prints_no_contents") else {
        return;
    };
    let mapping = memory(&vm, 1).map().unwrap();
    assert_eq!(format!("{mapping:?}"), "Mapping { bytes: 4096, .. }");
}
