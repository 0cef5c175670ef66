//! What a record says. The table of fields for operators is in deploy/AUDIT.md.
//!
//! Every field that is unset is left out of the line. Later builds may add fields; a reader ignores those that it does not know.

use serde::{Deserialize, Serialize};

use crate::{Event, Hash, Stamp};

/// The outcome of what succeeded.
pub const OK: &str = "ok";
/// The outcome of reading files that cannot be used. What was in use stays so.
pub const UNUSABLE: &str = "UNUSABLE";

/// What happened, without its place in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, by the machine's clock; records are in the order in which they were written.
    pub time: Stamp,
    /// What.
    pub event: Event,
    /// `ok`, or the reason that the API gave; of files that were read again, `UNUSABLE`.
    pub outcome: String,
    /// Who caused it. Nobody did what the daemon does by itself.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
    /// The launch that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch: Option<Launch>,
    /// The image that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// The daemon that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daemon: Option<Daemon>,
    /// The files that were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
    /// How many, where the event says of what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Whose calls were not told one by one; the most frequent of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<Suppressed>,
    /// What is behind the last whole record before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torn: Option<Torn>,
}

impl Entry {
    /// Something that succeeded, now.
    #[must_use]
    pub fn new(event: Event) -> Self {
        Self {
            time: Stamp::now(),
            event,
            outcome: OK.to_owned(),
            who: None,
            launch: None,
            image: None,
            daemon: None,
            files: None,
            count: None,
            suppressed: Vec::new(),
            torn: None,
        }
    }
}

/// Who called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Who, as the daemon made sure of it: a SPIFFE ID, or `uid:1000`.
    pub identity: String,
    /// For whom. Unset of one that was not let in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    /// From where: `unix:uid=0,gid=0,pid=12`, or `tcp:10.0.0.1:5000`.
    pub address: String,
    /// Which method, such as `stagepages.v1.LaunchService/CreateLaunch`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// The call's id, which lines of the daemon's and the launch host's logs and its trace have too. Daemons that knew none left it out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request: String,
}

/// A launch, as it was then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Launch {
    /// Its id.
    pub id: String,
    /// Whose it is. A refused call may not know it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    /// Its uid, in hex. A refused call may not know it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Its platform.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub platform: String,
    /// Its state.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// Pages that were installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installed_pages: Option<u64>,
    /// The digest of what was measured so far, in hex.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub launch_digest: String,
    /// Why it is over, as the API names it: an AbortReason or a GuestStopReason.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The same in words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cause: String,
}

/// A stored image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    /// Its digest, `sha256:` and hex.
    pub digest: String,
    /// Its bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The tenant that it was granted to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub granted_to: String,
}

/// A daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Daemon {
    /// Its number: each daemon of a state directory has a higher one.
    pub epoch: u64,
    /// Its version.
    pub version: String,
}

/// Files that belong together, as a certificate and its key do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Files {
    /// Their paths, as they are configured.
    pub paths: Vec<String>,
    /// Why they cannot be used, in words. Unset of those that are in use.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cause: String,
}

/// Calls that were refused and not told one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppressed {
    /// Whose.
    pub identity: String,
    /// The reason that they were given.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// Bytes that a crash left behind the last whole record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Torn {
    /// How many, without the newline that was put behind them.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: Hash,
}

/// A record, as it is in a log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// Its number, from 1.
    pub seq: u64,
    /// What it says.
    #[serde(flatten)]
    pub entry: Entry,
    /// The hash of the record before.
    pub prev: Hash,
    /// Its own.
    pub hash: Hash,
}
