//! Puts the kernel model beneath an unmodified program, by way of `LD_PRELOAD`.
//!
//! ```text
//! LD_PRELOAD=libstagepages_kernel_preload.so    this library
//! STAGEPAGES_MODEL=/path/to/script.json         what the machine is like; without it every call passes through
//! STAGEPAGES_MODEL_TRACE=7                      an inherited descriptor: a regular file, opened O_APPEND
//! ```
//!
//! The script is read once in each process, when it first opens a path below `/dev/`, `/proc/` or `/sys/`. `/dev/kvm` and `/dev/sev` are
//! then the model's, and so are the VMs, vCPUs and guest_memfds made through them: memfds, known again by their inode, so that copied and
//! closed descriptors need no book-keeping. Their names are `model-kvm`, `model-sev`, `model-vm`, `model-vcpu` and
//! `stagepages-model-gmem`; another process finds the guest's memory by the last in `/proc/PID/fd`, where it can be read as a file that
//! has pages only where one was installed.
//!
//! What is seen is what goes through libc, and that by an absolute path (kernel.md section 13): rustix's own system calls are not.
//!
//! # Safety
//!
//! Three facts carry the `unsafe` here. The original of each function is libc's next definition of the same name, so the signature that is
//! declared beside it is that of libc's headers. A call that is not about the model hands its arguments on as they came, and so
//! asks of its caller what libc asks. A call that is about the model touches the caller's memory as the kernel would: by
//! `process_vm_readv` and `process_vm_writev`, which answer EFAULT where there is none; only `stat` and `statx` buffers and path names
//! are used by pointer, as libc's own functions do.
//!
//! Variadic functions are defined with their longest fixed form: on x86-64 a variadic caller passes integers and pointers in the same
//! registers, and what the caller did not pass is handed on unread.
//!
//! **Invariant:** no descriptor that the program opened is closed, moved or written to; without a script nothing is changed at all.

#![expect(
    unsafe_code,
    reason = "stands where libc stands; a test-only library that nothing links"
)]
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod interpose;
mod locked;
mod memfd;
mod process;
mod real;
mod state;
mod trace;
