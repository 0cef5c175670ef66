//! How records become lines, each bound to the one before.

use serde::{Deserialize, Serialize};

use crate::{Entry, Hash, Head, Torn};

/// The longest line, in bytes with its newline. What is longer was not written by a daemon.
pub const MAX_LINE: usize = 64 << 10;

/// What stands between a line's hashed bytes and its hash, and behind that.
const BEFORE: &str = ",\"hash\":\"";
const BEHIND: &str = "\"}";
const HEX: usize = 64;

/// The end of a log, to which records are appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    head: Option<Head>,
}

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    #[serde(flatten)]
    entry: &'a Entry,
    prev: Hash,
}

/// What binds a line to others. Whatever else is in it is bound by its hash.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Link {
    pub(crate) seq: u64,
    pub(crate) prev: Hash,
    #[serde(default)]
    pub(crate) torn: Option<Torn>,
    #[serde(skip, default = "nothing")]
    pub(crate) hash: Hash,
}

fn nothing() -> Hash {
    Hash::NONE
}

impl Chain {
    /// The chain that goes on behind `head`, or begins.
    #[must_use]
    pub fn behind(head: Option<Head>) -> Self {
        Self { head }
    }

    /// The last record, if there is one.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// The line of the next record, with its newline; it is the head from then on.
    ///
    /// # Errors
    /// A text in it that JSON cannot say, or more than [`MAX_LINE`]; the chain is unchanged.
    pub fn seal(&mut self, entry: &Entry) -> Result<Vec<u8>, serde_json::Error> {
        let seq = self.head.map_or(0, |head| head.seq) + 1;
        let prev = self.head.map_or(Hash::NONE, |head| head.hash);
        let mut line = serde_json::to_vec(&Line { seq, entry, prev })?;
        // The brace comes back behind the hash.
        line.pop();
        if line.len() + BEFORE.len() + HEX + BEHIND.len() >= MAX_LINE {
            return Err(serde::ser::Error::custom(format_args!(
                "a record of {} bytes is longer than a line may be",
                line.len()
            )));
        }
        let hash = Hash::of(&line);
        line.extend_from_slice(BEFORE.as_bytes());
        line.extend_from_slice(hash.to_string().as_bytes());
        line.extend_from_slice(BEHIND.as_bytes());
        line.push(b'\n');
        self.head = Some(Head { seq, hash });
        Ok(line)
    }
}

/// What binds `line`, given without its newline; `None` if it is not a record as it was written.
pub(crate) fn link(line: &[u8]) -> Option<Link> {
    let hashed = line
        .len()
        .checked_sub(BEFORE.len() + HEX + BEHIND.len())
        .filter(|_| line.len() < MAX_LINE)?;
    let (hashed, seal) = line.split_at(hashed);
    let hash = seal
        .strip_prefix(BEFORE.as_bytes())?
        .strip_suffix(BEHIND.as_bytes())?;
    let hash: Hash = str::from_utf8(hash).ok()?.parse().ok()?;
    if Hash::of(hashed) != hash {
        return None;
    }
    let link: Link = serde_json::from_slice(line).ok()?;
    Some(Link { hash, ..link })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Record, Who};

    #[test]
    fn a_line_says_what_was_put_into_it_and_where_it_belongs() {
        let mut chain = Chain::behind(None);
        let mut entry = Entry::new(Event::LaunchCreated);
        entry.who = Some(Who {
            identity: "uid:7 \"\n\u{1f512}".to_owned(),
            tenant: "local".to_owned(),
            address: "unix:uid=7,gid=7,pid=1".to_owned(),
            method: String::new(),
            request: "build 7/3".to_owned(),
        });
        for seq in 1..=3 {
            let before = chain.head();
            let line = chain.seal(&entry).unwrap();
            let text = line.strip_suffix(b"\n").unwrap();
            assert!(!text.contains(&b'\n'));
            let record: Record = serde_json::from_slice(text).unwrap();
            assert_eq!((record.seq, &record.entry), (seq, &entry));
            assert_eq!(record.prev, before.map_or(Hash::NONE, |head| head.hash));
            assert_eq!(chain.head().map(|head| head.hash), Some(record.hash));
            let link = link(text).unwrap();
            assert_eq!((link.seq, link.hash), (seq, record.hash));
        }
    }

    #[test]
    fn what_is_longer_than_a_line_is_refused_and_leaves_the_chain_as_it_is() {
        let mut chain = Chain::behind(None);
        let mut entry = Entry::new(Event::DaemonStarted);
        entry.outcome = "x".repeat(MAX_LINE);
        chain.seal(&entry).unwrap_err();
        assert_eq!(chain, Chain::behind(None));
    }
}
