//! What this kernel lacks, found by asking it, and what each costs.
//!
//! **Invariant:** the calling process is confined by nothing when this returns: the filter that is tried dies with the thread that tried it.

use std::{fmt, thread};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    Scope,
};

use crate::{HostUser, calls, privileges};

/// Something that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Filters of system calls.
    Seccomp,
    /// Landlock, wholly.
    Landlock,
    /// Its right to truncate files, Linux 6.2.
    LandlockTruncate,
    /// Its rules for TCP, Linux 6.7.
    LandlockTcp,
    /// Its right to ask devices, Linux 6.10.
    LandlockIoctl,
    /// Its scopes for signals and abstract sockets, Linux 6.12.
    LandlockScopes,
    /// A user for the hosts of a supervisor that is root.
    HostUser,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seccomp => {
                "seccomp filters (CONFIG_SECCOMP_FILTER): daemon and launch hosts can make every system call"
            }
            Self::Landlock => {
                "Landlock (Linux 5.13, CONFIG_SECURITY_LANDLOCK, and landlock in lsm=): daemon and launch hosts reach all files and ports of their user"
            }
            Self::LandlockTruncate => {
                "Landlock's right to truncate (Linux 6.2): daemon and launch hosts can empty files of their user"
            }
            Self::LandlockTcp => {
                "Landlock's rules for TCP (Linux 6.7): the daemon can connect anywhere and bind every port"
            }
            Self::LandlockIoctl => {
                "Landlock's right for ioctls of devices (Linux 6.10): launch hosts can ask inherited devices anything before their launch is made"
            }
            Self::LandlockScopes => {
                "Landlock's scopes (Linux 6.12): daemon and launch hosts can signal processes of their user and reach abstract sockets"
            }
            Self::HostUser => {
                "a user for launch hosts (host_user): they stay root, though without capabilities"
            }
        })
    }
}

/// Everything that is not there. `hosts` is the user of launch hosts, if they have one.
#[must_use]
pub fn missing(hosts: Option<HostUser>) -> Vec<Missing> {
    let mut missing = Vec::new();
    if !has_seccomp() {
        missing.push(Missing::Seccomp);
    }
    if has_files(ABI::V1) {
        let parts = [
            (has_files(ABI::V3), Missing::LandlockTruncate),
            (has_tcp(), Missing::LandlockTcp),
            (has_files(ABI::V5), Missing::LandlockIoctl),
            (has_scopes(), Missing::LandlockScopes),
        ];
        missing.extend(parts.iter().filter(|(has, _)| !has).map(|(_, part)| *part));
    } else {
        missing.push(Missing::Landlock);
    }
    if hosts.is_none() && privileges::is_root() {
        missing.push(Missing::HostUser);
    }
    missing
}

/// Asks for exactly this, so that an older kernel refuses.
fn exactly() -> Ruleset {
    Ruleset::default().set_compatibility(CompatLevel::HardRequirement)
}

fn has_files(abi: ABI) -> bool {
    let rules = exactly().handle_access(AccessFs::from_all(abi));
    rules.and_then(Ruleset::create).is_ok()
}

fn has_tcp() -> bool {
    let rules = exactly().handle_access(AccessNet::from_all(ABI::V4));
    rules.and_then(Ruleset::create).is_ok()
}

fn has_scopes() -> bool {
    let rules = exactly().scope(Scope::from_all(ABI::V6));
    rules.and_then(Ruleset::create).is_ok()
}

/// Tries a filter that allows everything, on a thread that then ends.
fn has_seccomp() -> bool {
    let tried = thread::Builder::new()
        .name("sandbox".to_owned())
        .spawn(|| calls::try_filter().is_ok());
    tried.is_ok_and(|thread| thread.join().unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_confines_nobody() {
        let first = missing(None);
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(status.contains("\nNoNewPrivs:\t0\n"), "{status}");
        assert!(status.contains("\nSeccomp:\t0\n"), "{status}");
        assert_eq!(missing(None), first);
        let user = "61000:61000".parse().unwrap();
        assert!(!missing(Some(user)).contains(&Missing::HostUser));
    }
}
