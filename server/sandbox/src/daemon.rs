//! The daemon, from before it listens to anybody.
//!
//! It is large, and what it is built of may come to make a harmless call that nobody thought of: so a call outside its list is EPERM. What only an
//! intruder makes ends it; its supervisor starts another, and launches live on.
//!
//! **Invariant:** it starts no process, connects to no TCP port but those that its policy names, and opens no device.

use rustix::thread::CapabilitySet;
use seccompiler::{BackendError, BpfProgram, SeccompAction};

use crate::{
    Access, Missing, Mode, Place, SandboxError, calls, calls::Calls, fence::Fence, limits, missing,
    privileges,
};

/// What a daemon is to be left with.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Whether it is confined.
    pub mode: Mode,
    /// Its directories and files, beside [`places`].
    pub places: Vec<Place>,
    /// The TCP ports that it binds; 0 for one that the kernel chooses.
    pub ports: Vec<u16>,
    /// The TCP ports that it connects to, on whatever machine.
    pub connects: Vec<u16>,
    /// The group that its Unix sockets are given to. A daemon that is root joins it; another has to be a member.
    pub group: Option<u32>,
    /// Its service manager is told by a socket without a file (`NOTIFY_SOCKET` beginning with `@`), so such sockets stay within reach.
    pub abstract_sockets: bool,
}

/// What every daemon reads: how much of the machine it has (the runtime's number of threads), and itself.
#[must_use]
pub fn places() -> Vec<Place> {
    let read = [
        "/proc/self",
        "/proc/meminfo",
        "/sys/fs/cgroup",
        "/sys/devices/system/cpu",
    ];
    let mut places: Vec<_> = read.map(|path| Place::new(path, Access::Read)).into();
    places.push(Place::new("/dev/null", Access::ReadWrite));
    places
}

/// Ports below this one need a capability.
const UNPRIVILEGED_PORTS: u16 = 1024;

/// Confines a daemon that has one thread.
///
/// # Errors
/// What the kernel refused; with [`Mode::Require`] also what it lacks. The process should end then.
pub fn confine(policy: &Policy) -> Result<(), SandboxError> {
    let require = match policy.mode {
        Mode::Off => return Ok(()),
        Mode::On => false,
        Mode::Require => true,
    };
    if require {
        // Whose hosts are is its supervisor's to check.
        let lacks = missing(None);
        let own: Vec<_> = lacks
            .into_iter()
            .filter(|one| *one != Missing::HostUser)
            .collect();
        SandboxError::if_missing(&own)?;
    }
    limits::no_core()?;
    if privileges::is_root() {
        limits::keep_locked_memory();
        policy.group.map_or(Ok(()), privileges::join)?;
    }
    let low = |port: &u16| (1..UNPRIVILEGED_PORTS).contains(port);
    let kept = if policy.ports.iter().any(low) {
        CapabilitySet::NET_BIND_SERVICE
    } else {
        CapabilitySet::empty()
    };
    privileges::keep(kept)?;
    privileges::not_dumpable()?;
    privileges::no_new_privileges()?;
    Fence {
        places: &policy.places,
        ports: &policy.ports,
        connects: &policy.connects,
        abstract_sockets: policy.abstract_sockets,
    }
    .close()?;
    let programs = [calls::no_clone3()?, never()?, filter()?];
    if !calls::put_on(&programs)? && require {
        SandboxError::if_missing(&[Missing::Seccomp])?;
    }
    Ok(())
}

/// Has a confined daemon bind and listen on nothing more, in none of its threads. Landlock asks about binding alone, and a socket that listens without gets a port
/// from the kernel (`inet_autobind()`, net/ipv4/af_inet.c).
///
/// # Errors
/// What the kernel refused. The process should end then.
pub fn settle(mode: Mode) -> Result<(), SandboxError> {
    if mode == Mode::Off {
        return Ok(());
    }
    let program = Calls::new()
        .and(&[libc::SYS_bind, libc::SYS_listen])
        .program(refused(), SeccompAction::Allow)?;
    // A kernel without filters was refused before, or is put up with.
    calls::put_on(&[program]).map(drop)
}

/// What becomes of a harmless call that is not to be made.
fn refused() -> SeccompAction {
    SeccompAction::Errno(libc::EPERM.cast_unsigned())
}

/// What the daemon does.
fn filter() -> Result<BpfProgram, SandboxError> {
    let ioctls = [libc::FIONBIO, libc::FIOCLEX, libc::FIONREAD, libc::TCGETS];
    let ioctls: Vec<_> = ioctls
        .iter()
        .filter_map(|&number| u32::try_from(number).ok())
        .collect();
    sockets(Calls::of_every_process()?)?
        .and_one_of(libc::SYS_socketpair, 0, &[libc::AF_UNIX.cast_unsigned()])?
        .and_one_of(libc::SYS_ioctl, 1, &ioctls)?
        // More filters, which take only away.
        .and_one_of(
            libc::SYS_prctl,
            0,
            &[libc::PR_SET_NO_NEW_PRIVS.cast_unsigned()],
        )?
        .and(&[libc::SYS_seccomp])
        .and_one_of(libc::SYS_tgkill, 0, &[std::process::id()])?
        .and(&[
            // Sockets.
            libc::SYS_bind,
            libc::SYS_listen,
            libc::SYS_connect,
            libc::SYS_getsockname,
            libc::SYS_getpeername,
            libc::SYS_epoll_create1,
            libc::SYS_epoll_ctl,
            libc::SYS_epoll_wait,
            libc::SYS_epoll_pwait,
            libc::SYS_epoll_pwait2,
            libc::SYS_eventfd2,
            libc::SYS_pipe2,
            libc::SYS_dup,
            libc::SYS_dup3,
            // Files, where Landlock lets it.
            libc::SYS_open,
            libc::SYS_openat,
            libc::SYS_stat,
            libc::SYS_lstat,
            libc::SYS_newfstatat,
            libc::SYS_statx,
            libc::SYS_statfs,
            libc::SYS_fstatfs,
            libc::SYS_access,
            libc::SYS_faccessat,
            libc::SYS_faccessat2,
            libc::SYS_readlink,
            libc::SYS_readlinkat,
            libc::SYS_getcwd,
            libc::SYS_getdents64,
            libc::SYS_mkdir,
            libc::SYS_mkdirat,
            libc::SYS_rmdir,
            libc::SYS_unlink,
            libc::SYS_unlinkat,
            libc::SYS_rename,
            libc::SYS_renameat,
            libc::SYS_renameat2,
            libc::SYS_link,
            libc::SYS_linkat,
            libc::SYS_chmod,
            libc::SYS_chown,
            libc::SYS_fchown,
            libc::SYS_fchownat,
            libc::SYS_fchmod,
            libc::SYS_fchmodat,
            libc::SYS_utimensat,
            libc::SYS_fsync,
            libc::SYS_fdatasync,
            libc::SYS_sync_file_range,
            libc::SYS_fadvise64,
            libc::SYS_preadv,
            libc::SYS_pwritev,
            libc::SYS_preadv2,
            libc::SYS_pwritev2,
            libc::SYS_copy_file_range,
            libc::SYS_msync,
            // Itself, and hosts that it adopts.
            libc::SYS_umask,
            libc::SYS_uname,
            libc::SYS_sysinfo,
            libc::SYS_getrusage,
            libc::SYS_prlimit64,
            libc::SYS_getrlimit,
            libc::SYS_getppid,
            libc::SYS_pidfd_open,
            libc::SYS_clone3,
        ])
        .program(SeccompAction::Allow, refused())
}

/// The sockets that it makes: of the internet only such as Landlock takes for TCP, whose ports it names. Of another kind nobody asks it where they lead: MPTCP
/// (`current_check_access_socket()`, security/landlock/net.c, since Linux 6.14), UDP.
fn sockets(calls: Calls) -> Result<Calls, BackendError> {
    const ALL: u32 = u32::MAX;
    /// `SOCK_TYPE_MASK`, include/linux/net.h: the rest are flags.
    const KIND: u32 = 0xf;
    let stream = libc::SOCK_STREAM.cast_unsigned();
    let mut calls = calls.and_one_of(libc::SYS_socket, 0, &[libc::AF_UNIX.cast_unsigned()])?;
    for family in [libc::AF_INET, libc::AF_INET6].map(i32::cast_unsigned) {
        for protocol in [0, libc::IPPROTO_TCP].map(i32::cast_unsigned) {
            let arguments = [(0, ALL, family), (1, KIND, stream), (2, ALL, protocol)];
            calls = calls.and_all_bits(libc::SYS_socket, &arguments)?;
        }
    }
    Ok(calls)
}

/// What no daemon ever does: becoming another program, or looking into or taking over processes, the kernel or the machine's files.
fn never() -> Result<BpfProgram, SandboxError> {
    Calls::new()
        .and(&[
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_fork,
            libc::SYS_vfork,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_pidfd_getfd,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_kexec_load,
            libc::SYS_kexec_file_load,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_move_mount,
            libc::SYS_fsopen,
            libc::SYS_open_tree,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_open_by_handle_at,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_reboot,
        ])
        .program(SeccompAction::KillProcess, SeccompAction::Allow)
}
