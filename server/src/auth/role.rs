//! What callers may do, in five words; and in a sixth, which no policy gives.
//!
//! **Invariant:** a set of roles only grows by union; no role takes anything away.

use std::{fmt, ops::BitOr};

use serde::Deserialize;

/// What a caller is trusted with, within its tenant but for `Overseer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks: launches, ledgers, images, the node.
    Viewer,
    /// Makes launches: creates, stages, finishes, ends and deletes them; brings images.
    Stager,
    /// Runs guests: starts and stops them, and talks to their consoles.
    Runner,
    /// Everything, and what concerns others: grants and deletes images.
    Admin,
    /// Looks, at the things of any tenant that a call names.
    Overseer,
    /// Has the tenant to itself, as whoever has a device does: deletes its images, on which nobody else counts.
    #[serde(skip_deserializing)]
    Holder,
}

/// Roles of one caller, or those of which a call needs one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles(u8);

impl Role {
    /// All roles that a policy gives.
    pub const ALL: [Self; 5] = [
        Self::Viewer,
        Self::Stager,
        Self::Runner,
        Self::Admin,
        Self::Overseer,
    ];

    const fn bit(self) -> u8 {
        match self {
            Self::Viewer => 1,
            Self::Stager => 2,
            Self::Runner => 4,
            Self::Admin => 8,
            Self::Holder => 16,
            Self::Overseer => 32,
        }
    }

    /// As policies write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Stager => "stager",
            Self::Runner => "runner",
            Self::Admin => "admin",
            Self::Holder => "holder",
            Self::Overseer => "overseer",
        }
    }
}

impl Roles {
    /// Those of `roles`.
    #[must_use]
    pub const fn of(roles: &[Role]) -> Self {
        let (mut bits, mut nth) = (0, 0);
        while nth < roles.len() {
            bits |= roles[nth].bit();
            nth += 1;
        }
        Self(bits)
    }

    /// None.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether one is in both.
    #[must_use]
    pub fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Roles {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// As in "stager or admin".
impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for role in Role::ALL {
            if self.meet(Self::of(&[role])) {
                write!(f, "{between}{}", role.as_str())?;
                between = " or ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_meet_in_what_both_have() {
        let both = Roles::of(&[Role::Stager]) | Roles::of(&[Role::Admin]);
        assert_eq!(both.to_string(), "stager or admin");
        assert!(both.meet(Roles::of(&[Role::Admin, Role::Viewer])));
        assert!(!both.meet(Roles::of(&[Role::Viewer, Role::Runner])));
        assert!(Roles::default().is_empty() && !Roles::default().meet(Roles::of(&Role::ALL)));
    }
}
