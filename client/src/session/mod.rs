//! A session: a plan staged into a launch, however often the connection, the daemon or this process is lost on the way.
//!
//! Every call carries a name that follows from the session's name and the place in the plan, and the launch host applies a call of one
//! name once. So whatever is unanswered is asked for by name after a loss, and sent again if it is not known: the count of each page
//! comes out once. On a SEQUENCED launch calls carry their number too, from the launch's next one on, in the order of the plan.
//!
//! | module      | one idea                                                              |
//! |-------------|-----------------------------------------------------------------------|
//! | `machine`   | what is known and what to do next: no I/O                             |
//! | `piece`     | one cut on its way                                                    |
//! | `name`      | the names of sessions and calls                                       |
//! | `fault`     | which errors can be mended, and how                                   |
//! | `retry`     | how long to wait, and when to give up                                 |
//! | `feed`      | the plan, cut and read                                                |
//! | `held`      | where a predecessor can have been                                     |
//! | `wire`      | the stream, and single questions                                      |
//! | `run`       | does what the machine says                                            |
//!
//! A session that is killed is taken up by another one with the same *lasting* name and the same plan: it gets the counts of its
//! predecessor as its own. The launch host keeps a bounded number of answers (`replay_window` of GetNodeInfo); pages of calls whose
//! answers it has forgotten are found identical instead, as pages of anybody else are.
//!
//! ```no_run
//! # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
//! use stagepages_client::{Client, Endpoint, LaunchRef, addr::Gpa, session::{Options, Part, Session}, stage::Source, v1::PageType};
//!
//! let client = Client::connect(&Endpoint::from_environment()?).await?;
//! let session = Session::open(&client, &LaunchRef::from("vm-1"), Options::named("boot".parse()?)).await?;
//! let image = tokio::fs::File::open("OVMF.fd").await?;
//! let bytes = image.metadata().await?.len();
//! let part = Part { gpa: Gpa::new(0xffc0_0000), page_type: PageType::Normal, source: Source::data(image, bytes)? };
//! let outcome = session.stage(vec![part], |_| {}).await;
//! println!("{} pages are mine, {} were there as wanted", outcome.mine, outcome.identical);
//! # Ok(()) }
//! ```
//!
//! **Invariant:** `mine` is the sum of what answers to this session's names gave, each taken once; it never repeats a call that is not
//! exactly-once, and never sends on a stream behind a stop.

use std::io;

pub(crate) mod fault;
mod feed;
mod held;
mod machine;
mod name;
mod open;
mod piece;
pub(crate) mod retry;
pub(crate) mod run;
#[cfg(test)]
mod tests;
mod wire;

pub use name::{LONGEST_NAME, SessionName};
pub use open::Session;
pub use retry::RetryPolicy;

use crate::{
    addr::Gpa,
    stage::{Pages, Source, StageEnd},
    v1::PageType,
};

/// A part of a plan: consecutive pages of one type.
#[derive(Debug)]
pub struct Part<'a> {
    /// Address of its first page.
    pub gpa: Gpa,
    /// Type of every page.
    pub page_type: PageType,
    /// The contents, or nothing but a length.
    pub source: Source<'a>,
}

/// How a session goes about it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name.
    pub name: SessionName,
    /// Calls in flight at most, each of up to 2 MiB of bytes, or of up to 16 MiB from a stored image; at least one. More than the daemon reads ahead gains nothing.
    pub in_flight: usize,
    /// When to repeat, and when to give up.
    pub retry: RetryPolicy,
}

/// Enough to keep daemon, launch host and this process busy at once: 16 MiB of bytes.
const IN_FLIGHT: usize = 8;

impl Options {
    /// A session that a later one of the same name can take up.
    #[must_use]
    pub fn named(name: SessionName) -> Self {
        Self {
            name,
            in_flight: IN_FLIGHT,
            retry: RetryPolicy::default(),
        }
    }

    /// A session that ends with this process.
    ///
    /// # Errors
    /// The system has no randomness to name it.
    pub fn unnamed() -> io::Result<Self> {
        SessionName::unique().map(Self::named)
    }
}

/// What a plan came to. Counts are pages.
#[derive(Debug)]
#[must_use = "says whether the plan is installed"]
pub struct Outcome {
    /// Of the whole plan.
    pub total_pages: u64,
    /// Installed by this session, or by its predecessors of the same name: the sum of their answers.
    pub mine: u64,
    /// Found installed with the type and the bytes of the plan: by somebody else, or by a predecessor whose answers are forgotten.
    pub identical: u64,
    /// Calls sent, repeats included.
    pub calls: u64,
    /// Bytes of contents sent with calls, repeats included; what comes from stored images is not among them.
    pub data_bytes: u64,
    /// Streams that were lost.
    pub losses: u64,
    /// The address behind the last page up to which all of the plan is known to be as wanted.
    pub next_gpa: Gpa,
    /// Pages of which it is not known whether this session's calls installed them: none, some or all. Empty if the plan is complete. The
    /// same session again settles them.
    pub in_doubt: Vec<Pages>,
    /// How it ended.
    pub end: StageEnd,
}

impl Outcome {
    /// Whether every page of the plan is installed as wanted.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self.end, StageEnd::Complete)
    }
}
