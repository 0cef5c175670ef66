//! What a daemon may ask for, once it is well-formed: hosts.
//!
//! **Invariant:** a refused request leaves neither a process nor a socket behind, and a host that was not adopted as it was.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use stagepages_host::wire::SeqListener;

use super::hosts::HostTable;
use super::id::HostId;
use super::process::PidFd;
use super::proto::{AdoptHost, HostKind, KillHost, SpawnHost};
use super::runtime_dir::RuntimeDir;
use super::spawn::{Launcher, Program};

/// Most arguments of a host.
const MAX_ARGS: usize = 64;
/// Longest arguments of a host in all, in bytes.
const MAX_ARG_BYTES: usize = 32 * 1024;

/// Why no host was started, or taken in.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) errno: Errno,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(errno: Errno, message: impl Into<String>) -> Self {
        Self {
            errno,
            message: message.into(),
        }
    }

    pub(super) fn failed(doing: &str, error: &io::Error) -> Self {
        let errno = match (error.raw_os_error(), error.kind()) {
            (Some(errno), _) => Errno::from_raw(errno),
            (None, io::ErrorKind::InvalidInput) => Errno::EINVAL,
            (None, _) => Errno::EIO,
        };
        Self::new(errno, format!("{doing}: {error}"))
    }
}

/// Starts a host that listens already, and books it.
pub(super) fn spawn_host(
    request: &SpawnHost,
    hosts: &mut HostTable,
    dir: &RuntimeDir,
    launcher: &Launcher,
) -> Result<Pid, Refusal> {
    let (id, kind) = validate(request)?;
    admit(hosts, &id)?;
    let listener = SeqListener::bind(&dir.socket(&id))
        .map_err(|error| Refusal::failed("cannot make the host's socket", &error))?;
    let program = Program::Host(&request.platform);
    let pid = launcher
        .spawn(program, "host", &request.args, listener.as_fd())
        .map_err(|error| {
            dir.remove_socket(&id);
            Refusal::failed("cannot start the host", &error)
        })?;
    hosts.started(id, pid, kind);
    Ok(pid)
}

/// Books a host that an earlier supervisor started, as its own user or as `user`.
pub(super) fn adopt_host(
    request: &AdoptHost,
    pidfd: OwnedFd,
    user: Option<u32>,
    hosts: &mut HostTable,
) -> Result<Pid, Refusal> {
    let (id, kind) = name(&request.id, request.kind)?;
    admit(hosts, &id)?;
    let process = PidFd::verify(pidfd, &id, user)?;
    let pid = process.pid();
    if hosts.knows(pid) {
        let why = format!("process {pid} is a host already");
        return Err(Refusal::new(Errno::EEXIST, why));
    }
    hosts.adopt(id, process, kind);
    Ok(pid)
}

/// Sends a signal to a host that lives; `None` for a signal that does not exist.
pub(super) fn kill_host(request: &KillHost, hosts: &HostTable) -> Option<()> {
    let signal = Signal::try_from(request.signal).ok()?;
    let id = request.id.parse().ok();
    if let Some(process) = id.and_then(|id: HostId| hosts.process_of(&id)) {
        process.signal(signal);
    }
    Some(())
}

fn admit(hosts: &HostTable, id: &HostId) -> Result<(), Refusal> {
    hosts.admit(id).map_err(|errno| {
        let why = if errno == Errno::EEXIST {
            format!("host {id} lives, or its exit was not acknowledged")
        } else {
            "too many hosts: end some, or raise the limit".to_owned()
        };
        Refusal::new(errno, why)
    })
}

pub(super) fn validate(request: &SpawnHost) -> Result<(HostId, HostKind), Refusal> {
    let named = name(&request.id, request.kind)?;
    let bytes: usize = request.args.iter().map(String::len).sum();
    if request.args.len() > MAX_ARGS || bytes > MAX_ARG_BYTES {
        return Err(invalid(format!(
            "{} arguments of {bytes:#x} bytes are over {MAX_ARGS} or {MAX_ARG_BYTES:#x} bytes",
            request.args.len()
        )));
    }
    Ok(named)
}

fn name(id: &str, kind: i32) -> Result<(HostId, HostKind), Refusal> {
    let id = id
        .parse::<HostId>()
        .map_err(|error| invalid(error.to_string()))?;
    match HostKind::try_from(kind) {
        Ok(kind @ (HostKind::Launch | HostKind::Probe)) => Ok((id, kind)),
        Ok(HostKind::Unspecified) | Err(_) => Err(invalid(format!("no kind of host: {kind}"))),
    }
}

fn invalid(message: String) -> Refusal {
    Refusal::new(Errno::EINVAL, message)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs::File;
    use std::path::PathBuf;

    use super::*;

    fn request(id: &str) -> SpawnHost {
        SpawnHost {
            id: id.to_owned(),
            kind: i32::from(HostKind::Probe),
            ..SpawnHost::default()
        }
    }

    fn refusal(request: &SpawnHost, limit: usize, program: &str) -> Errno {
        let base = tempfile::tempdir().unwrap();
        let dir = RuntimeDir::claim(&base.path().join("run")).unwrap();
        let launcher = Launcher::new(
            PathBuf::from(program),
            BTreeMap::new(),
            &BTreeSet::new(),
            Vec::new(),
        );
        let mut hosts = HostTable::new(limit);
        let refusal = spawn_host(request, &mut hosts, &dir, &launcher).unwrap_err();
        assert_eq!(hosts.living(), 0);
        assert_eq!(std::fs::read_dir(dir.host_dir()).unwrap().count(), 0);
        refusal.errno
    }

    #[test]
    fn a_bad_request_is_einval() {
        let bad_kinds = [0, 3, -1].map(|kind| SpawnHost {
            kind,
            ..request("a")
        });
        let bad_args = [
            vec!["a\0b".to_owned()],
            vec![String::new(); MAX_ARGS + 1],
            vec!["x".repeat(MAX_ARG_BYTES + 1)],
        ]
        .map(|args| SpawnHost {
            args,
            ..request("a")
        });
        let bad_ids = ["", "../a", "A"].map(request);
        for request in bad_kinds.iter().chain(&bad_args).chain(&bad_ids) {
            assert_eq!(refusal(request, 4, "/bin/true"), Errno::EINVAL);
        }
    }

    #[test]
    fn a_full_table_is_eagain_and_a_program_that_is_not_there_enoent() {
        assert_eq!(refusal(&request("a"), 0, "/bin/true"), Errno::EAGAIN);
        assert_eq!(refusal(&request("a"), 4, "/nowhere"), Errno::ENOENT);
    }

    #[test]
    fn only_a_signal_that_does_not_exist_is_a_fault() {
        let hosts = HostTable::new(1);
        let ask = |signal| {
            let id = "gone".to_owned();
            kill_host(&KillHost { id, signal }, &hosts)
        };
        assert_eq!(ask(9), Some(()));
        assert_eq!(ask(0), None);
        assert_eq!(ask(99), None);
    }

    #[test]
    fn an_adoption_is_refused_by_name_by_room_and_by_what_it_brings() {
        let ask = |id: &str, kind, limit| {
            let id = id.to_owned();
            let pidfd = File::open("/dev/null").unwrap().into();
            let mut hosts = HostTable::new(limit);
            let refusal = adopt_host(&AdoptHost { id, kind }, pidfd, None, &mut hosts).unwrap_err();
            assert_eq!(hosts.living(), 0);
            refusal.errno
        };
        assert_eq!(ask("../a", 1, 1), Errno::EINVAL);
        assert_eq!(ask("a", 0, 1), Errno::EINVAL);
        assert_eq!(ask("a", 1, 0), Errno::EAGAIN);
        assert_eq!(ask("a", 1, 1), Errno::EBADF);
    }
}
