//! Starting children: the same binary in another role, or the program that the configuration names for a platform's hosts.
//!
//! `posix_spawn` and not [`std::process::Command`]: the latter hands the parent's signal mask on, and the supervisor's blocks what its children need.
//! The child shares the supervisor's memory until it execs, so starting one costs the same whatever the supervisor has mapped.
//!
//! **Invariant:** a child starts with an empty signal mask, default dispositions, a process group of its own (Ctrl-C in a terminal reaches
//! only the supervisor), its private socket as standard input, and no other descriptor that the supervisor opened. A host's environment holds the
//! variables that the configuration names and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;
use nix::unistd::{Pid, execve};

use super::activation::is_own_variable;

/// Always the file that this process runs, also when its name now means another one.
const RUNNING_BINARY: &str = "/proc/self/exe";

/// How children are started.
#[derive(Debug)]
pub(super) struct Launcher {
    program: PathBuf,
    is_self: bool,
    host_programs: BTreeMap<String, PathBuf>,
    environment: Vec<CString>,
    host_environment: Vec<CString>,
    host_args: Vec<String>,
}

/// What a child runs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Program<'a> {
    /// What this process runs.
    Own,
    /// What the configuration names for hosts of this platform, else what this process runs.
    Host(&'a str),
    /// Whatever has the own program's name now.
    Successor,
}

impl Launcher {
    /// Children run `program`, or for some platforms others, with the environment that this process has now; hosts with what `host_env` names
    /// of it. Hosts that run `program` get `host_args` behind all others; a flag that is there twice starts none.
    pub(super) fn new(
        program: PathBuf,
        host_programs: BTreeMap<String, PathBuf>,
        host_env: &BTreeSet<String>,
        host_args: Vec<String>,
    ) -> Self {
        Self {
            is_self: is_running_binary(&program),
            program,
            host_programs,
            environment: environment(|name| !is_own_variable(name)),
            host_environment: environment(|name| {
                name.to_str().is_some_and(|name| host_env.contains(name))
            }),
            host_args,
        }
    }

    /// Starts `program role args…`. Returns when the child has execed, or failed to.
    ///
    /// # Errors
    /// The kernel's; `InvalidInput` for an argument with a zero byte. There is no child then.
    pub(super) fn spawn<A: AsRef<OsStr>>(
        &self,
        program: Program<'_>,
        role: &str,
        args: &[A],
        stdin: BorrowedFd<'_>,
    ) -> io::Result<Pid> {
        let (name, file) = self.find(program);
        let own: &[String] = match program {
            Program::Host(platform) if !self.host_programs.contains_key(platform) => {
                &self.host_args
            }
            Program::Own | Program::Host(_) | Program::Successor => &[],
        };
        let args = args.iter().map(AsRef::as_ref);
        let args: Vec<&OsStr> = args.chain(own.iter().map(OsStr::new)).collect();
        let argv = argv(name, role, &args)?;
        let environment = match program {
            Program::Host(_) => &self.host_environment,
            Program::Own | Program::Successor => &self.environment,
        };
        let mut actions = PosixSpawnFileActions::init()?;
        actions.add_dup2(stdin.as_raw_fd(), 0)?;
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_sigmask(&SigSet::empty())?;
        attributes.set_sigdefault(&SigSet::all())?;
        attributes.set_pgroup(Pid::from_raw(0))?;
        attributes.set_flags(
            PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF
                | PosixSpawnFlags::POSIX_SPAWN_SETPGROUP,
        )?;
        Ok(posix_spawn(
            file,
            &actions,
            &attributes,
            &argv,
            environment,
        )?)
    }

    /// Becomes the successor, with the environment that this process was started with. Returns only if that fails.
    pub(super) fn exec<A: AsRef<OsStr>>(&self, role: &str, args: &[A]) -> io::Error {
        let become_it = || -> io::Result<Infallible> {
            let file = CString::new(self.program.as_os_str().as_bytes())?;
            let argv = argv(&self.program, role, args)?;
            Ok(execve(&file, &argv, &self.environment)?)
        };
        match become_it() {
            Err(error) => error,
        }
    }

    /// The name that process lists show, and the file.
    fn find(&self, program: Program<'_>) -> (&Path, &Path) {
        match program {
            Program::Own => (&self.program, self.current()),
            Program::Host(platform) => match self.host_programs.get(platform) {
                Some(program) => (program, program),
                None => (&self.program, self.current()),
            },
            Program::Successor => (&self.program, &self.program),
        }
    }

    /// The name as long as it is still the running binary, so that process lists show it; else the binary itself. All roles stay one build
    /// when the file is replaced, until the supervisor is.
    fn current(&self) -> &Path {
        if self.is_self && !is_running_binary(&self.program) {
            Path::new(RUNNING_BINARY)
        } else {
            &self.program
        }
    }
}

/// The path that [`super::SupervisorConfig::program`] takes: of the running binary, whether or not it still has its name.
///
/// The name that it was started by comes first, where that is an absolute path: an upgrade then follows a link in it.
#[must_use]
pub fn own_program() -> PathBuf {
    let given = std::env::args_os().next().map(PathBuf::from);
    given
        .filter(|path| path.is_absolute())
        .into_iter()
        .chain(std::env::current_exe())
        .find(|path| is_running_binary(path))
        .unwrap_or_else(|| OsString::from(RUNNING_BINARY).into())
}

/// The variables that this process has now and whose names are `chosen`, as `NAME=value`.
fn environment(chosen: impl Fn(&OsStr) -> bool) -> Vec<CString> {
    let pair = |(name, value): (OsString, OsString)| {
        let mut pair = name.into_vec();
        pair.push(b'=');
        pair.extend(value.into_vec());
        // The kernel has no variable with a zero byte, so none is dropped.
        CString::new(pair).ok()
    };
    let all = std::env::vars_os().filter(|(name, _)| chosen(name));
    all.filter_map(pair).collect()
}

fn argv<A: AsRef<OsStr>>(name: &Path, role: &str, args: &[A]) -> io::Result<Vec<CString>> {
    let words = [name.as_os_str(), OsStr::new(role)];
    let words = words.into_iter().chain(args.iter().map(AsRef::as_ref));
    Ok(words
        .map(|word| CString::new(word.as_bytes()))
        .collect::<Result<_, _>>()?)
}

fn is_running_binary(path: &Path) -> bool {
    match (fs::metadata(path), fs::metadata(RUNNING_BINARY)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launcher(program: PathBuf) -> Launcher {
        Launcher::new(program, BTreeMap::new(), &BTreeSet::new(), Vec::new())
    }

    #[test]
    fn a_platform_has_its_own_program_only_where_one_is_named() {
        let programs = BTreeMap::from([("kvm".to_owned(), PathBuf::from("/opt/vmm"))]);
        let launcher = Launcher::new(
            PathBuf::from("/bin/true"),
            programs,
            &BTreeSet::new(),
            Vec::new(),
        );
        let file = |program| launcher.find(program).1;
        assert_eq!(file(Program::Host("kvm")), Path::new("/opt/vmm"));
        for builtin in [Program::Host("sim"), Program::Host(""), Program::Own] {
            assert_eq!(file(builtin), Path::new("/bin/true"));
        }
    }

    #[test]
    fn the_own_program_is_found_by_its_name() {
        let program = own_program();
        assert_ne!(program, Path::new(RUNNING_BINARY));
        assert_eq!(launcher(program.clone()).current(), program);
    }

    #[test]
    fn a_replaced_binary_is_still_started_and_another_program_is_never_swapped() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("program");
        fs::hard_link(own_program(), &name)
            .or_else(|_| std::os::unix::fs::symlink(own_program(), &name))
            .unwrap();
        let own = launcher(name.clone());
        assert_eq!(own.current(), name);
        fs::remove_file(&name).unwrap();
        fs::write(&name, "another build").unwrap();
        assert_eq!(own.current(), Path::new(RUNNING_BINARY));

        let other = launcher(PathBuf::from("/bin/true"));
        assert_eq!(other.current(), Path::new("/bin/true"));
    }

    #[test]
    fn a_program_that_is_not_there_and_a_zero_byte_are_errors() {
        let null = fs::File::open("/dev/null").unwrap();
        let spawn = |program: &str, arg: &str| {
            launcher(PathBuf::from(program))
                .spawn(
                    Program::Own,
                    "role",
                    &[arg],
                    std::os::fd::AsFd::as_fd(&null),
                )
                .unwrap_err()
                .kind()
        };
        assert_eq!(spawn("/nowhere/program", "a"), io::ErrorKind::NotFound);
        assert_eq!(spawn("/bin/true", "a\0b"), io::ErrorKind::InvalidInput);
    }
}
