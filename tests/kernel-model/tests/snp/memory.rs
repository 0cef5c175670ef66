//! Memslots, attributes and guest_memfds (kernel.md sections 5.1 to 5.3).

use stagepages_kernel_model::{Answer, Errno, Machine, Object, Profile, Script};

use crate::process::Process;
use crate::rig::{
    ARGS, CREATE_GUEST_MEMFD, CREATE_VM, FIRST, PAGES, Rig, SET_ATTRIBUTES, SET_REGION2, words,
};

const MEM_GUEST_MEMFD: u64 = 4 << 32;
const GPA: u64 = FIRST * 4096;
const BYTES: u64 = PAGES * 4096;
const UADDR: u64 = 0x7000_0000;

fn rig() -> Rig {
    Rig::new(Script::snp(Profile::V6_18))
}

fn set_region(rig: &Rig, slot: u64, gpa: u64, bytes: u64, offset: u64, fd: i32) -> Answer {
    let region = [
        slot | MEM_GUEST_MEMFD,
        gpa,
        bytes,
        UADDR,
        offset,
        fd.unsigned_abs().into(),
    ];
    rig.put(ARGS, &[&words(&region), &[0; 112]]);
    rig.ioctl(SET_REGION2, ARGS)
}

fn create_guest_memfd(rig: &Rig, bytes: u64, flags: u64) -> Answer {
    rig.put(ARGS, &[&words(&[bytes, flags]), &[0; 48]]);
    rig.ioctl(CREATE_GUEST_MEMFD, ARGS)
}

#[test]
fn a_region_that_the_kernel_refuses_is_refused() {
    let rig = rig();
    let other = create_guest_memfd(&rig, BYTES, 0).unwrap();
    let free = GPA + BYTES;
    for (why, slot, gpa, bytes, offset, fd, errno) in [
        ("the slot exists", 0, free, BYTES, 0, other, Errno::EINVAL),
        (
            "another has these frames",
            1,
            GPA,
            BYTES,
            0,
            other,
            Errno::EEXIST,
        ),
        ("unaligned", 1, free + 1, BYTES, 0, other, Errno::EINVAL),
        (
            "beyond the file",
            1,
            free,
            BYTES,
            4096,
            other,
            Errno::EINVAL,
        ),
        ("unaligned offset", 1, free, 4096, 1, other, Errno::EINVAL),
        (
            "bound already",
            1,
            free,
            BYTES,
            0,
            rig.gmem_fd,
            Errno::EINVAL,
        ),
        (
            "no guest_memfd",
            1,
            free,
            BYTES,
            0,
            rig.sev_fd,
            Errno::EINVAL,
        ),
        ("no descriptor", 1, free, BYTES, 0, 99, Errno::EBADF),
        ("no such slot", 9, 0, 0, 0, other, Errno::EINVAL),
    ] {
        let answer = set_region(&rig, slot, gpa, bytes, offset, fd);
        assert_eq!(answer, Err(errno), "{why}");
    }
    assert_eq!(set_region(&rig, 1, free, BYTES, 0, other), Ok(0));
    assert_eq!(set_region(&rig, 0, 0, 0, 0, 0), Ok(0));
    assert!(rig.process.violations().is_empty());
}

#[test]
fn attributes_are_checked_and_taken_back() {
    let rig = Rig::started(Script::snp(Profile::V6_18));
    let set = |addr, bytes, attributes, flags| {
        rig.put(ARGS, &[&words(&[addr, bytes, attributes, flags])]);
        rig.ioctl(SET_ATTRIBUTES, ARGS)
    };
    for (addr, bytes, attributes, flags) in [
        (GPA, 4096, 8, 1),
        (GPA, 4096, 1, 0),
        (GPA, 0, 8, 0),
        (GPA + 1, 4096, 8, 0),
        (GPA, 1, 8, 0),
        (u64::MAX - 4095, 8192, 8, 0),
    ] {
        let answer = set(addr, bytes, attributes, flags);
        assert_eq!(
            answer,
            Err(Errno::EINVAL),
            "{addr:#x} {bytes:#x} {attributes} {flags}"
        );
    }
    assert_eq!(set(GPA + 4096, 4096, 0, 0), Ok(0));
    assert_eq!(rig.update(FIRST, 1, 3).pages, 1);
    assert_eq!(rig.update(FIRST + 1, 1, 1).answer, Err(Errno::EIO));
    assert_eq!(set(GPA + 4096, 4096, 8, 0), Ok(0));
    assert_eq!(rig.update(FIRST + 1, 1, 2).pages, 2);
}

#[test]
fn a_guest_memfd_with_flags_is_told_and_refused_where_the_kernel_has_none() {
    for profile in Profile::ALL {
        let rig = Rig::new(Script::snp(profile));
        let mmap = create_guest_memfd(&rig, BYTES, 1);
        assert_eq!(mmap.is_ok(), profile >= Profile::V6_18, "{profile}");
        assert_eq!(
            create_guest_memfd(&rig, BYTES, 2),
            Err(Errno::EINVAL),
            "{profile}"
        );
        assert_eq!(rig.process.violations().len(), 2, "{profile}");
    }
}

#[test]
fn a_guest_memfd_s_size_is_whole_pages() {
    let rig = rig();
    for bytes in [0, 1, 4095, 4097, 1 << 63] {
        assert_eq!(
            create_guest_memfd(&rig, bytes, 0),
            Err(Errno::EINVAL),
            "{bytes:#x}"
        );
    }
}

#[test]
fn a_plain_vm_has_no_guest_memfd_before_6_18() {
    for profile in Profile::ALL {
        let machine = Machine::new(Script::snp(profile));
        let process = Process::new();
        let fd = machine.ioctl(&process, Object::Kvm, CREATE_VM, 0).unwrap();
        let file = stagepages_kernel_model::world::World::identify(&process, fd).unwrap();
        let vm = machine.object(file).unwrap();
        let args = [words(&[4096, 0]), vec![0; 48]].concat();
        stagepages_kernel_model::world::World::write(&process, ARGS, &args).unwrap();
        let made = machine.ioctl(&process, vm, CREATE_GUEST_MEMFD, ARGS);
        assert_eq!(made.is_ok(), profile >= Profile::V6_18, "{profile}");
    }
}

#[test]
fn a_guest_memfd_that_was_closed_takes_no_page() {
    let rig = Rig::started(Script::snp(Profile::V6_18));
    rig.process.close(rig.gmem_fd);
    assert_eq!(rig.update(FIRST, 1, 1).answer, Err(Errno::EIO));
}
