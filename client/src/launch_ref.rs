//! Which launch is meant: a name, and a uid where a late call must not hit a later launch of the same name.
//!
//! **Invariant:** never judges an id; the daemon does, and says what is wrong with it.

use std::fmt;

use stagepages_proto::v1;

const COLLECTION: &str = "launches/";

/// A launch, by name and perhaps by uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchRef {
    name: String,
    uid: String,
}

impl LaunchRef {
    /// The same, refused by the daemon unless the launch of that name has this uid. An empty `uid` asks for no check.
    #[must_use]
    pub fn with_uid(self, uid: impl Into<String>) -> Self {
        Self {
            name: self.name,
            uid: uid.into(),
        }
    }

    /// launches/{id}.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id alone.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.name[COLLECTION.len()..]
    }

    /// The uid; empty if none was given.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.uid
    }
}

impl From<&str> for LaunchRef {
    /// From `vm-1` or `launches/vm-1`.
    fn from(text: &str) -> Self {
        let id = text.strip_prefix(COLLECTION).unwrap_or(text);
        Self {
            name: format!("{COLLECTION}{id}"),
            uid: String::new(),
        }
    }
}

impl From<&v1::Launch> for LaunchRef {
    /// This launch and no later one of its name.
    fn from(launch: &v1::Launch) -> Self {
        Self::from(launch.name.as_str()).with_uid(&launch.uid)
    }
}

impl fmt::Display for LaunchRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_id_and_a_full_name_mean_the_same_launch() {
        assert_eq!(LaunchRef::from("vm-1"), LaunchRef::from("launches/vm-1"));
        assert_eq!(LaunchRef::from("vm-1").name(), "launches/vm-1");
        assert_eq!(LaunchRef::from("launches/vm-1").id(), "vm-1");
    }

    #[test]
    fn odd_ids_go_to_the_daemon_as_they_are() {
        assert_eq!(LaunchRef::from("").name(), "launches/");
        assert_eq!(LaunchRef::from("a/b").name(), "launches/a/b");
    }
}
