//! `lacking landlock|seccomp PROGRAM ARGS…`: becomes PROGRAM, on a kernel that answers ENOSYS to these system calls, as an older one would.
//!
//! **Invariant:** nothing else is changed but `no_new_privs`, without which no filter can be put on.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::env::{args_os, consts::ARCH};
use std::error::Error;
use std::os::unix::process::CommandExt;
use std::process::Command;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = args_os().skip(1);
    let what = words.next().and_then(|word| word.into_string().ok());
    let calls = match what.as_deref() {
        Some("landlock") => vec![
            libc::SYS_landlock_create_ruleset,
            libc::SYS_landlock_add_rule,
            libc::SYS_landlock_restrict_self,
        ],
        Some("seccomp") => vec![libc::SYS_seccomp],
        Some(_) | None => return Err("lacking what? landlock or seccomp".into()),
    };
    let program = words.next().ok_or("no program to become")?;
    let absent = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let calls: BTreeMap<_, _> = calls.into_iter().map(|nr| (nr, Vec::new())).collect();
    let arch = TargetArch::try_from(ARCH)?;
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, absent, arch)?;
    seccompiler::apply_filter(&BpfProgram::try_from(filter)?)?;
    Err(Command::new(program).args(words).exec().into())
}
