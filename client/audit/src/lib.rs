//! The audit log: what a record says, how records are chained, and how a chain is verified.
//!
//! A record is one line of JSON. Its last two fields bind it to the line before:
//!
//! ```text
//! {"seq":8,"time":"…","event":"launch.created",…,"prev":"<hash of line 7>","hash":"<hash of this line>"}
//! ```
//!
//! * `seq` counts from 1 and never restarts, neither with a new file nor with a new daemon.
//! * `hash` is the SHA-256 of the line's own bytes before `,"hash":"`, in hex.
//! * `prev` is the `hash` of the record before, also where that is the last of another file; 64 zeros for `seq` 1.
//!
//! With standard tools, for line 8 of a file:
//!
//! ```text
//! sed -n 8p audit.jsonl | sed 's/,"hash":"[0-9a-f]*"}$//' | tr -d '\n' | sha256sum    is    sed -n 8p audit.jsonl | jq -r .hash
//! sed -n 7p audit.jsonl | jq -r .hash                                                 is    sed -n 8p audit.jsonl | jq -r .prev
//! ```
//!
//! What a chain proves: that nothing was changed, removed, inserted or moved between two records that are known to be genuine. Its end can be cut off unseen, and
//! whoever may write the file can make all of it anew. So heads ([`Head`]) have to be kept where that person cannot write.
//!
//! A daemon that is killed while it writes leaves part of a line at the end. The next one begins with a record of what is [`Torn`], which covers those bytes by
//! their hash; so they are told from a line that somebody changed.
//!
//! **Invariant:** nothing here writes a file, and no record has room for page contents.
#![forbid(unsafe_code)]

mod chain;
mod event;
mod hash;
mod record;
mod stamp;
mod tail;
mod verify;

pub use chain::{Chain, MAX_LINE};
pub use event::Event;
pub use hash::{Hash, Head, NotAHash, NotAHead};
pub use record::{
    Daemon, Entry, Files, Image, Launch, OK, Record, Suppressed, Torn, UNUSABLE, Who,
};
pub use stamp::Stamp;
pub use tail::{Tail, tail};
pub use verify::{Problem, Report, TornEnd, Verifier, What};
