//! Staging a source of any length into a launch: cut into calls, each answer judged, every page counted.
//!
//! ```text
//! Source ──cut──▶ StagePages ──answer──▶ judge ──▶ all of it installed ─────────────▶ next call
//!                     ▲                       ├──▶ met pages that are as wanted ──┐
//!                     └──── from behind them ─────────────────────────────────────┘
//!                                             ├──▶ met a page that differs ─────────▶ Conflict
//!                                             └──▶ refused, or no answer ───────────▶ Failed
//! ```
//!
//! One call at a time, in ascending order of GPA, so what was installed is always a prefix of the source. Nothing is tried twice: an answer
//! that is lost ends it. [`crate::session`] goes on instead.
//!
//! **Invariant:** `installed_pages` is the sum of what answers gave, and nothing else; where an answer is missing, the pages whose fate
//! is not known are named in `in_doubt` and are in no sum.

use std::io;

use stagepages_proto::v1;

pub(crate) mod content;
pub(crate) mod cut;
pub(crate) mod judge;
pub(crate) mod limits;
pub(crate) mod placed;
pub(crate) mod run;
pub(crate) mod source;
mod stager;

pub use source::{LengthError, Source, whole_pages};
pub use stager::Stager;

use crate::{StagepagesError, addr::Gpa};

/// Consecutive pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    /// First address.
    pub gpa: Gpa,
    /// How many, at least one.
    pub count: u64,
}

/// How far staging has come. Counts are pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Installed by these calls.
    pub installed: u64,
    /// Found installed as wanted.
    pub identical: u64,
    /// Of the whole source.
    pub total: u64,
}

/// What staging one source came to. Counts are pages.
#[derive(Debug)]
#[must_use = "says whether the source is installed"]
pub struct StageReport {
    /// Of the whole source.
    pub total_pages: u64,
    /// Installed by these calls: the sum of their answers.
    pub installed_pages: u64,
    /// Found installed with the type and the bytes of the source, by another caller or an earlier attempt of this one.
    pub identical_pages: u64,
    /// The address behind the last page that is known to be as wanted; the end of the source if all of them are.
    pub next_gpa: Gpa,
    /// StagePages calls made.
    pub calls: u64,
    /// Pages of the last call, where its answer does not tell how many of them it installed: none, some or all.
    pub in_doubt: Option<Pages>,
    /// How it ended.
    pub end: StageEnd,
}

impl StageReport {
    /// Whether every page of the source is installed as wanted.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self.end, StageEnd::Complete)
    }
}

/// How staging ended.
#[derive(Debug)]
pub enum StageEnd {
    /// Every page of the source is installed as wanted.
    Complete,
    /// A page is installed with another type or other bytes.
    Conflict(Conflict),
    /// A call was refused, or its answer was lost.
    Failed(StagepagesError),
    /// The source could not be read.
    Unreadable(io::Error),
}

/// An installed page that is not what the source has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Its address.
    pub gpa: Gpa,
    /// The type it was installed with; unspecified if the daemon did not say, or named a type that is unknown here.
    pub page_type: v1::PageType,
}
