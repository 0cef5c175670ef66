//! Hosts as processes: our children by their numbers, adopted ones by a pidfd.
//!
//! **Invariant:** a number is taken for a process only where the process cannot have gone unnoticed: for a child that was not reaped. All that is
//! done to an adopted host goes through its descriptor.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use rustix::process::{WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::exit::ExitStatus;
use super::id::HostId;
use super::requests::Refusal;

/// A living host.
#[derive(Clone, Copy, Debug)]
pub(super) enum Process<'a> {
    /// We started it.
    Child(Pid),
    /// We took it in.
    Adopted(&'a PidFd),
}

/// A host that an earlier supervisor started.
#[derive(Debug)]
pub(super) struct PidFd {
    fd: OwnedFd,
    pid: Pid,
}

impl Process<'_> {
    /// One that just ended is no error.
    pub(super) fn signal(self, signal: Signal) {
        let (pid, sent) = match self {
            Self::Child(pid) => (pid, kill(pid, signal)),
            Self::Adopted(host) => (host.pid, host.signal(signal)),
        };
        if let Err(errno) = sent
            && errno != Errno::ESRCH
        {
            tracing::warn!(pid = pid.as_raw(), %signal, %errno, "cannot signal a process");
        }
    }
}

impl PidFd {
    /// Takes a descriptor for the process of host `id`, if it is that.
    ///
    /// Whoever holds this can end the process with our rights, so a process that is no host is refused: who asks may be a daemon that somebody took
    /// over. The command line is what its supervisor wrote; the descriptor pins the process while it is read. Whose it is tells its status: its files
    /// in /proc are root's, for it is not dumpable (`task_dump_owner()`, fs/proc/base.c).
    pub(super) fn verify(fd: OwnedFd, id: &HostId, user: Option<u32>) -> Result<Self, Refusal> {
        let pid = pid_behind(&fd)?;
        let refuse = |why: String| Refusal::new(Errno::EPERM, format!("process {pid} {why}"));
        let gone = |error| Refusal::failed("the process of the pidfd is gone", &error);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(gone)?;
        let owner = user_in(&status).ok_or_else(|| refuse("tells no user".to_owned()))?;
        if owner != geteuid().as_raw() && Some(owner) != user {
            return Err(refuse(format!("belongs to user {owner}")));
        }
        let command = fs::read(format!("/proc/{pid}/cmdline")).map_err(gone)?;
        if !is_host(&command, id) {
            return Err(refuse(format!(
                "was not started as `PROGRAM host --id={id}`"
            )));
        }
        if pid_behind(&fd)? != pid {
            return Err(Refusal::new(
                Errno::ESRCH,
                "the process of the pidfd is gone",
            ));
        }
        Ok(Self { fd, pid })
    }

    /// Takes a descriptor that was verified, by this supervisor before its upgrade.
    pub(super) fn verified(fd: OwnedFd, pid: Pid) -> Self {
        Self { fd, pid }
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// How it ended, once a poll says that it did. A child of ours, such as an orphan that came to us as PID 1, is reaped.
    ///
    /// Anybody else's status goes to its parent; PIDFD_GET_INFO tells it to others from Linux 6.15 on, by an ioctl that no library offers safely.
    pub(super) fn status(&self) -> ExitStatus {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match waitid(WaitId::PidFd(self.fd.as_fd()), options) {
            Ok(Some(status)) => ExitStatus::from_waitid(&status),
            Ok(None) | Err(_) => ExitStatus::Unknown,
        }
    }

    fn signal(&self, signal: Signal) -> Result<(), Errno> {
        let signal = rustix::process::Signal::from_named_raw(signal as i32).ok_or(Errno::EINVAL)?;
        pidfd_send_signal(&self.fd, signal).map_err(|error| Errno::from_raw(error.raw_os_error()))
    }
}

/// Readable once the process has ended.
impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Which process a pidfd means, in our pid namespace.
fn pid_behind(fd: &OwnedFd) -> Result<Pid, Refusal> {
    // What is no pidfd is EBADF here, pidfd_get_pid(), kernel/pid.c; what is no child of ours, as a host mostly is not, ECHILD.
    let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::PidFd(fd.as_fd()), peek) {
        Ok(_) | Err(rustix::io::Errno::CHILD) => {}
        Err(error) => return Err(Refusal::failed("the descriptor is no pidfd", &error.into())),
    }
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))
        .map_err(|error| Refusal::failed("cannot tell which process a pidfd means", &error))?;
    pid_in(&info).ok_or_else(|| Refusal::new(Errno::ESRCH, "the process of the pidfd is gone"))
}

/// The line of pidfd_show_fdinfo(), fs/pidfs.c: -1 for a process that was reaped, 0 for one of another pid namespace.
fn pid_in(info: &str) -> Option<Pid> {
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    let pid: i32 = line.trim().parse().ok()?;
    (pid > 0).then(|| Pid::from_raw(pid))
}

/// The real user, first of the four in the line of proc_pid_status(), fs/proc/array.c.
fn user_in(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Whether a host of this name was started with this command line, whatever its program.
fn is_host(command: &[u8], id: &HostId) -> bool {
    let mut args = command.split(|byte| *byte == 0).skip(1);
    let wanted = format!("--id={id}");
    args.next() == Some(b"host") && args.any(|arg| arg == wanted.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::{Child, Command};

    use rustix::process::{PidfdFlags, pidfd_open};

    use super::*;

    fn id() -> HostId {
        "a-1".parse().unwrap()
    }

    fn pidfd(child: &Child) -> OwnedFd {
        pidfd_open(rustix::process::Pid::from_child(child), PidfdFlags::empty()).unwrap()
    }

    /// A shell that waits for its standard input to end, with these words behind its script.
    fn shell(words: &[&str]) -> Child {
        Command::new("/bin/sh")
            .args(["-c", "read line; exit 3"])
            .args(words)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    }

    #[test]
    fn what_is_no_pidfd_is_ebadf_and_a_stranger_eperm() {
        let null = File::open("/dev/null").unwrap().into();
        assert_eq!(
            PidFd::verify(null, &id(), None).unwrap_err().errno,
            Errno::EBADF
        );

        let mut stranger = shell(&["host", "--id=a-1"]);
        let refusal = PidFd::verify(pidfd(&stranger), &id(), None).unwrap_err();
        assert_eq!(refusal.errno, Errno::EPERM, "{}", refusal.message);
        drop(stranger.stdin.take());
        stranger.wait().unwrap();
    }

    #[test]
    fn a_process_that_was_reaped_is_esrch() {
        let mut child = shell(&[]);
        let fd = pidfd(&child);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(
            PidFd::verify(fd, &id(), None).unwrap_err().errno,
            Errno::ESRCH
        );
    }

    #[test]
    fn the_status_of_a_child_is_known_and_taken() {
        let mut child = shell(&[]);
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let held = PidFd::verified(pidfd(&child), pid);
        drop(child.stdin.take());
        let mut fds = [nix::poll::PollFd::new(
            held.as_fd(),
            nix::poll::PollFlags::POLLIN,
        )];
        nix::poll::poll(&mut fds, nix::poll::PollTimeout::NONE).unwrap();
        assert_eq!(held.status(), ExitStatus::Code(3));
        assert_eq!(held.status(), ExitStatus::Unknown, "somebody took it");
        child.wait().unwrap_err();
        // Nobody is there any more, and nobody is hit.
        Process::Adopted(&held).signal(Signal::SIGKILL);
    }

    #[test]
    fn a_host_is_known_by_how_it_was_started() {
        let is = |command: &str| is_host(command.replace(' ', "\0").as_bytes(), &id());
        assert!(is("/opt/vmm host --chunk-pages=1 --id=a-1 "));
        assert!(!is("/opt/vmm host --id=a-12 "));
        assert!(!is("/opt/vmm daemon --id=a-1 "));
        assert!(!is("host --id=a-1 "));
        assert!(!is(""));
    }

    #[test]
    fn only_a_process_that_can_be_named_has_a_number() {
        assert_eq!(pid_in("pos:\t0\nPid:\t77\n"), Some(Pid::from_raw(77)));
        for none in ["Pid:\t-1\n", "Pid:\t0\n", "pos:\t0\n", ""] {
            assert_eq!(pid_in(none), None, "{none:?}");
        }
    }
}
