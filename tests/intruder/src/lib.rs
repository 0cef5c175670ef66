//! Somebody who has taken a process over, by way of `LD_PRELOAD`: tries one thing, says on standard error what came of it, and goes on.
//!
//! ```text
//! LD_PRELOAD=libstagepages_intruder.so    this library
//! STAGEPAGES_INTRUDER=open                what is tried; see `attempt`
//! STAGEPAGES_INTRUDER=look                nothing is tried: it says at its start which descriptors it was handed; see `descriptors`
//! ```
//!
//! When: in a launch host, each time it waits for the simulated firmware (`clock_nanosleep` with an absolute time), which is while it installs pages, on
//! the thread that has most rights. In a daemon, on SIGUSR1.
//!
//! # Safety
//!
//! Attempts are system calls of their own, by number, and touch no memory of the program's. `clock_nanosleep` hands its arguments on as they came, and so
//! asks of its caller what libc asks. What runs in the signal's handler is safe there: system calls, and no allocation.
//!
//! **Invariant:** a process that is not told to tries nothing.
#![expect(
    unsafe_code,
    reason = "stands where libc stands; a test-only library that nothing links"
)]
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod attempt;
mod descriptors;
mod network;

use std::ffi::{c_int, c_long};
use std::ptr;

use libc::{clockid_t, timespec};

/// Run by the loader before the program's `main`.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = listen;

extern "C" fn listen() {
    match attempt::chosen() {
        None => return,
        Some(chosen) if chosen == c"look" => return descriptors::tell(),
        Some(_) => {}
    }
    attempt::prepare();
    let handler: extern "C" fn(c_int) = on_signal;
    // SAFETY: the handler is a function of the type that a handler has, and does only what is safe in one.
    unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
}

extern "C" fn on_signal(_signal: c_int) {
    attempt::make();
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_nanosleep(
    clock: clockid_t,
    flags: c_int,
    until: *const timespec,
    left: *mut timespec,
) -> c_int {
    if flags & libc::TIMER_ABSTIME != 0 {
        attempt::make();
    }
    let arguments = (c_long::from(clock), c_long::from(flags));
    // SAFETY: as the caller's call of libc.
    let done = unsafe {
        libc::syscall(
            libc::SYS_clock_nanosleep,
            arguments.0,
            arguments.1,
            until,
            left,
        )
    };
    if done == 0 { 0 } else { errno() }
}

/// This thread's.
fn errno() -> c_int {
    // SAFETY: gives the address of this thread's errno, which is always there.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: reads an int that belongs to this thread.
    unsafe { ptr::read(place) }
}
