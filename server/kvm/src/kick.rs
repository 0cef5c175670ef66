//! Interrupting a vCPU that runs: one signal, which its thread blocks everywhere but inside `KVM_RUN`.
//!
//! ```text
//!  vCPU thread                                    whoever wants it back
//!  block(); vcpu.unblock_in_run()
//!  loop { run() }                                 set a flag; send(&thread)
//!    Interrupted: take(), then look at the flag
//! ```
//!
//! # Why no kick is lost
//!
//! For `KVM_RUN` the kernel swaps the thread's signal mask for the vCPU's, and swaps it back before it returns (`kvm_sigset_activate()`
//! and `kvm_sigset_deactivate()`, `virt/kvm/kvm_main.c`). A signal that is pending then makes it answer `EINTR` without entering the
//! guest, one that arrives later makes it leave the guest. It is not delivered, for it is blocked again by then: it **stays pending**,
//! and every later run is interrupted at once, until [`take`] takes it. So a kick may come before, in or between runs.
//!
//! # Why no kick kills
//!
//! The default action of [`SIGNAL`] is to be ignored, so it can end no process and needs no handler. That does not lose it: a signal
//! that the thread blocks is queued all the same, and inside `KVM_RUN` the thread's own mask still counts (`sig_ignored()`,
//! `kernel/signal.c`, looks at `real_blocked` too, which is where the swap keeps it).
//!
//! **Invariant:** no handler is installed, and no other signal's mask or disposition is changed.

use std::mem::MaybeUninit;
use std::os::unix::thread::JoinHandleExt;
use std::ptr;
use std::thread::JoinHandle;

use crate::KvmError;

/// The signal that interrupts a run: SIGURG, for which this project has no other use.
///
/// Send it to the vCPU's thread and not to the process. One sent to the process may interrupt any vCPU, which is harmless: the flag
/// beside the signal says what is meant.
pub const SIGNAL: libc::c_int = libc::SIGURG;

/// Blocks [`SIGNAL`] in the calling thread. To be called by the thread that runs a vCPU before anyone may kick it: a kick that meets
/// it unblocked is ignored and so lost.
///
/// # Errors
///
/// None is known: the kernel refuses only arguments that are not given here.
pub fn block() -> Result<(), KvmError> {
    let set = only_the_signal();
    // SAFETY: reads `set` and writes nothing of this process.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
    if error == 0 {
        Ok(())
    } else {
        Err(KvmError::from_errno("pthread_sigmask", error))
    }
}

/// Takes a pending [`SIGNAL`] from the calling thread, or from the process; says whether there was one. Never waits (`sigtimedwait`).
///
/// The thread must have [blocked](block) it.
pub fn take() -> bool {
    let set = only_the_signal();
    let no_time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: reads `set` and `no_time`, and writes nothing: nobody asks who sent it.
    let signal = unsafe { libc::sigtimedwait(&raw const set, ptr::null_mut(), &raw const no_time) };
    signal == SIGNAL
}

/// Sends [`SIGNAL`] to a thread, which should have [blocked](block) it or will before it runs a vCPU. A thread that has ended is not
/// there to be interrupted, and nothing happens.
pub fn send<T>(thread: &JoinHandle<T>) {
    // SAFETY: touches no memory. The handle of a thread is valid until it is joined or detached, which takes the `JoinHandle` itself.
    unsafe { libc::pthread_kill(thread.as_pthread_t(), SIGNAL) };
}

fn only_the_signal() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: writes the whole of `set`.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: changes one bit of `set`, for the number of a signal that exists.
    unsafe { libc::sigaddset(set.as_mut_ptr(), SIGNAL) };
    // SAFETY: `sigemptyset` initialised it; it fails only for a null pointer.
    unsafe { set.assume_init() }
}

/// The kernel's signal set of a thread inside `KVM_RUN`: everything is blocked, bit n - 1 for signal n, but [`SIGNAL`]. KVM adds SIGKILL
/// and SIGSTOP itself.
pub(crate) const fn mask_in_run() -> u64 {
    !(1 << (SIGNAL - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raise() {
        // SAFETY: touches no memory; the signal goes to this thread, and is ignored by default.
        assert_eq!(unsafe { libc::raise(SIGNAL) }, 0);
    }

    #[test]
    fn an_unblocked_kick_is_ignored_and_a_blocked_one_waits() {
        // In a thread of its own: the mask outlives the test.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let set = only_the_signal();
                // SAFETY: reads `set` and writes nothing of this process.
                unsafe {
                    libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut())
                };
                raise();
                block().unwrap();
                assert!(!take(), "it came while nothing blocked it");
                raise();
                raise();
                assert!(take());
                assert!(!take(), "pending signals of one number are one");
            });
        });
    }

    #[test]
    fn a_kick_reaches_one_thread_and_one_that_has_ended_is_left_alone() {
        let (blocked, ready) = std::sync::mpsc::channel();
        let (go, kicked) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .spawn(move || {
                block().unwrap();
                blocked.send(()).unwrap();
                kicked.recv().unwrap();
                take()
            })
            .unwrap();
        ready.recv().unwrap();
        send(&thread);
        go.send(()).unwrap();
        while !thread.is_finished() {
            std::thread::yield_now();
        }
        send(&thread);
        assert!(thread.join().unwrap());
    }

    #[test]
    fn one_bit_is_clear() {
        assert_eq!(mask_in_run(), 0xffff_ffff_ffbf_ffff);
    }
}
