//! Filters of system calls: lists that read like a policy, and what puts them on.
//!
//! Two filters are needed, because a filter of seccompiler's has one action for what it lists and one for the rest. Of several the kernel takes the
//! gravest action (`seccomp_run_filters()`, kernel/seccomp.c).
//!
//! **Invariant:** `io_uring` is in no list: what it is asked to do is not seen by any filter.

use std::{collections::BTreeMap, env::consts::ARCH};

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Op,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::SandboxError;

/// The calls of a list, each with what its arguments must be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls(BTreeMap<i64, Vec<SeccompRule>>);

impl Calls {
    /// No calls.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// And these, whatever their arguments.
    pub(crate) fn and(mut self, numbers: &[i64]) -> Self {
        self.0.extend(numbers.iter().map(|&nr| (nr, Vec::new())));
        self
    }

    /// And this one, where its argument `index` is one of `values`.
    pub(crate) fn and_one_of(
        mut self,
        number: i64,
        index: u8,
        values: &[u32],
    ) -> Result<Self, BackendError> {
        let rules = values.iter().map(|&value| {
            let is = SeccompCondition::new(index, Width::Dword, Op::Eq, value.into())?;
            SeccompRule::new(vec![is])
        });
        let rules: Vec<_> = rules.collect::<Result<_, _>>()?;
        self.0.entry(number).or_default().extend(rules);
        Ok(self)
    }

    /// And this one, where of the bits `mask` of its argument `index` exactly `bits` are set.
    pub(crate) fn and_bits(
        self,
        number: i64,
        index: u8,
        mask: u32,
        bits: u32,
    ) -> Result<Self, BackendError> {
        self.and_all_bits(number, &[(index, mask, bits)])
    }

    /// The same of several arguments at once: each is an index, a mask, and what is set of it.
    pub(crate) fn and_all_bits(
        mut self,
        number: i64,
        arguments: &[(u8, u32, u32)],
    ) -> Result<Self, BackendError> {
        let conditions = arguments.iter().map(|&(index, mask, bits)| {
            let op = Op::MaskedEq(mask.into());
            SeccompCondition::new(index, Width::Dword, op, bits.into())
        });
        let rule = SeccompRule::new(conditions.collect::<Result<_, _>>()?)?;
        self.0.entry(number).or_default().push(rule);
        Ok(self)
    }

    /// What threads, locks, allocators and clocks take behind everyone's back, in glibc and in std.
    ///
    /// Memory is never executable, threads are started and processes are not, and nothing is sent that connects.
    pub(crate) fn of_every_process() -> Result<Self, BackendError> {
        let exec = libc::PROT_EXEC.cast_unsigned();
        let fast_open = libc::MSG_FASTOPEN.cast_unsigned();
        let thread = (libc::CLONE_VM | libc::CLONE_THREAD).cast_unsigned();
        Self::new()
            .and(&[
                // Locks and threads.
                libc::SYS_futex,
                libc::SYS_set_robust_list,
                libc::SYS_rseq,
                libc::SYS_gettid,
                libc::SYS_getpid,
                libc::SYS_exit,
                libc::SYS_exit_group,
                libc::SYS_sched_yield,
                libc::SYS_sched_getaffinity,
                libc::SYS_restart_syscall,
                libc::SYS_membarrier,
                // Signals: masks, and the handler that std has for stack overflows.
                libc::SYS_rt_sigprocmask,
                libc::SYS_rt_sigaction,
                libc::SYS_rt_sigreturn,
                libc::SYS_sigaltstack,
                // Memory.
                libc::SYS_brk,
                libc::SYS_munmap,
                libc::SYS_mremap,
                libc::SYS_madvise,
                libc::SYS_mincore,
                libc::SYS_mlock,
                libc::SYS_mlock2,
                libc::SYS_munlock,
                // Clocks.
                libc::SYS_clock_gettime,
                libc::SYS_clock_getres,
                libc::SYS_clock_nanosleep,
                libc::SYS_nanosleep,
                libc::SYS_gettimeofday,
                libc::SYS_getrandom,
                // Files that are open.
                libc::SYS_read,
                libc::SYS_readv,
                libc::SYS_write,
                libc::SYS_writev,
                libc::SYS_pread64,
                libc::SYS_pwrite64,
                libc::SYS_close,
                libc::SYS_fcntl,
                libc::SYS_fstat,
                libc::SYS_lseek,
                libc::SYS_flock,
                libc::SYS_ftruncate,
                libc::SYS_fallocate,
                libc::SYS_memfd_create,
                // Sockets that are open.
                libc::SYS_recvmsg,
                libc::SYS_recvfrom,
                libc::SYS_accept4,
                libc::SYS_shutdown,
                libc::SYS_getsockopt,
                libc::SYS_setsockopt,
                libc::SYS_poll,
                libc::SYS_ppoll,
                // Who one is.
                libc::SYS_getuid,
                libc::SYS_geteuid,
                libc::SYS_getgid,
                libc::SYS_getegid,
            ])
            // What connects by sending is never asked of Landlock (`tcp_sendmsg_fastopen()`, net/ipv4/tcp.c).
            .and_bits(libc::SYS_sendto, 3, fast_open, 0)?
            .and_bits(libc::SYS_sendmsg, 2, fast_open, 0)?
            .and_bits(libc::SYS_mmap, 2, exec, 0)?
            .and_bits(libc::SYS_mprotect, 2, exec, 0)?
            .and_bits(libc::SYS_clone, 0, thread, thread)?
            .and_one_of(libc::SYS_prctl, 0, &[libc::PR_SET_NAME.cast_unsigned()])
    }

    /// The program that does `listed` for these calls and `other` for the rest.
    pub(crate) fn program(
        self,
        listed: SeccompAction,
        other: SeccompAction,
    ) -> Result<BpfProgram, SandboxError> {
        let arch = TargetArch::try_from(ARCH)?;
        Ok(SeccompFilter::new(self.0, other, listed, arch)?.try_into()?)
    }
}

/// The flags of clone3(2) are in memory, where no filter sees them: glibc goes back to clone(2) where it is not there (`__clone_internal()`,
/// sysdeps/unix/sysv/linux/clone-internal.c).
pub(crate) fn no_clone3() -> Result<BpfProgram, SandboxError> {
    let absent = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    Calls::new()
        .and(&[libc::SYS_clone3])
        .program(absent, SeccompAction::Allow)
}

/// Puts these on all threads, for good. `Ok(false)` where the kernel has no filters.
pub(crate) fn put_on(programs: &[BpfProgram]) -> Result<bool, SandboxError> {
    for program in programs {
        match seccompiler::apply_filter_all_threads(program).map_err(SandboxError::from) {
            Ok(()) => {}
            Err(error) if error.is_absent() => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Puts a filter that changes nothing on the calling thread.
pub(crate) fn try_filter() -> Result<(), SandboxError> {
    Ok(seccompiler::apply_filter(&no_clone3()?)?)
}
