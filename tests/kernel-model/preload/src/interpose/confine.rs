//! What a program confines itself by: `syscall`, as far as it is landlock_create_ruleset(2) and seccomp(2).
//!
//! The model is a kernel that lives in the process, and makes calls that the program itself has no right to. So its script is read before the
//! program's files are out of reach, and its own calls go in front of each filter that the program puts on. What the program may do is
//! unchanged by that: its ioctls, which the model answers, are shown to the filter all the same (`control`).
//!
//! **Invariant:** only where there is a model is any filter changed.

use std::ffi::c_long;

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter, sock_fprog};

use crate::{real, state};

/// What the model does as a kernel: copies memory of the program's, and makes and fills files.
const OF_THE_MODEL: [c_long; 7] = [
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_memfd_create,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_pwrite64,
    libc::SYS_readlink,
];

#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    first: c_long,
    second: c_long,
    // A pointer for seccomp(2), whatever else it is for others: both are passed alike.
    third: *const sock_fprog,
    fourth: c_long,
    fifth: c_long,
    sixth: c_long,
) -> c_long {
    if number == libc::SYS_landlock_create_ruleset {
        // Where its script cannot be read any more is too late.
        state::loaded();
    }
    let puts_on_filter = number == libc::SYS_seccomp
        && first == c_long::from(libc::SECCOMP_SET_MODE_FILTER)
        && state::loaded().is_some();
    if puts_on_filter {
        // SAFETY: seccomp(2) takes a pointer to such a structure with this operation, and the kernel would read it as well.
        let given = unsafe { &*third };
        // SAFETY: so many instructions are there, as the kernel would read them.
        let program = unsafe { std::slice::from_raw_parts(given.filter, given.len.into()) };
        let mut filter = in_front();
        filter.extend_from_slice(program);
        let Ok(len) = u16::try_from(filter.len()) else {
            state::die("a filter with the model's calls in front is too long");
        };
        let changed = sock_fprog {
            len,
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: the kernel reads the structure and the instructions, which live until it returns.
        return unsafe { real::syscall()(number, first, second, &raw const changed) };
    }
    // SAFETY: as the caller's call of libc.
    unsafe { real::syscall()(number, first, second, third, fourth, fifth, sixth) }
}

/// Instructions that allow the model's calls, and lead to the program's own for all others.
fn in_front() -> Vec<sock_filter> {
    let instruction = |code: u32, k: u32, jf: u8| sock_filter {
        code: (code & 0xffff) as u16,
        jt: 0,
        jf,
        k,
    };
    let mut filter = vec![instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0)];
    for number in OF_THE_MODEL {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        filter.push(instruction(BPF_JMP | BPF_JEQ | BPF_K, number, 1));
        filter.push(instruction(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW, 0));
    }
    filter
}
