//! The user that launch hosts run as.
//!
//! **Invariant:** never root.

use std::{fmt, str::FromStr};

use nix::unistd::{Gid, Uid, User};

/// A user and its group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostUser {
    uid: u32,
    gid: u32,
}

/// Not a user for hosts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHostUser {
    /// No such user.
    #[error("{0:?} is no user of this machine; write a name, UID or UID:GID")]
    Unknown(String),
    /// Root is what a host is to be rid of.
    #[error("{0:?} is root; name another user, or leave host_user unset")]
    Root(String),
}

impl HostUser {
    /// The user's number.
    #[must_use]
    pub fn uid(self) -> u32 {
        self.uid
    }

    pub(crate) fn user(self) -> Uid {
        Uid::from_raw(self.uid)
    }

    pub(crate) fn group(self) -> Gid {
        Gid::from_raw(self.gid)
    }
}

/// A name, which is looked up now; `UID`, whose group is the user's own, or the same number where it has no entry; or `UID:GID`, which needs no entry.
impl FromStr for HostUser {
    type Err = BadHostUser;

    fn from_str(text: &str) -> Result<Self, BadHostUser> {
        let shown = || text.chars().take(64).collect::<String>();
        let unknown = || BadHostUser::Unknown(shown());
        let (uid, gid) = if let Some((uid, gid)) = text.split_once(':') {
            let number = |text: &str| text.parse().map_err(|_not_a_number| unknown());
            (number(uid)?, number(gid)?)
        } else if let Ok(uid) = text.parse() {
            let entry = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            (uid, entry.map_or(uid, |user| user.gid.as_raw()))
        } else {
            let entry = User::from_name(text).ok().flatten().ok_or_else(unknown)?;
            (entry.uid.as_raw(), entry.gid.as_raw())
        };
        // The last number means "unchanged" to setresuid(2).
        if uid == 0 || gid == 0 {
            return Err(BadHostUser::Root(shown()));
        }
        if uid == u32::MAX || gid == u32::MAX {
            return Err(unknown());
        }
        Ok(Self { uid, gid })
    }
}

impl fmt::Display for HostUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_needs_no_entry_and_root_is_none() {
        let user: HostUser = "61000:61001".parse().unwrap();
        assert_eq!(
            (user.uid(), user.to_string().as_str()),
            (61000, "61000:61001")
        );
        for root in ["0", "0:5", "5:0", "root"] {
            assert_eq!(
                root.parse::<HostUser>(),
                Err(BadHostUser::Root(root.to_owned()))
            );
        }
        for unknown in ["", ":", "5:", "-1", "4294967295", "no-such-user-here"] {
            assert_eq!(
                unknown.parse::<HostUser>(),
                Err(BadHostUser::Unknown(unknown.to_owned()))
            );
        }
    }
}
