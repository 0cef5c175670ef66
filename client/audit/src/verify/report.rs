//! What verification found.

use std::fmt;

use super::MOST;
use crate::Head;

/// What is known of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Files that were read.
    pub files: u64,
    /// Whole records in them.
    pub records: u64,
    /// The number of the first one. Above 1 where older files were dropped by rotation.
    pub first: Option<u64>,
    /// The last one: to be kept where nobody who may write the log can change it.
    pub head: Option<Head>,
    /// Ends of files that a crash had torn and a later daemon mended. They are no problems.
    pub mended: u64,
    /// The last file ends within a line: the trace of a crash, or of a write under way. It is no problem.
    pub torn_end: Option<TornEnd>,
    /// What is wrong; at most 100.
    pub problems: Vec<Problem>,
    /// Problems beyond these.
    pub more: u64,
}

/// Where a log ends within a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornEnd {
    /// In which file.
    pub file: String,
    /// In which line of it, from 1.
    pub line: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// Something that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// In which file.
    pub file: String,
    /// In which line of it, from 1; 0 for a file without any.
    pub line: u64,
    /// What.
    pub what: What,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The line is not as it was written, or never was a record.
    Changed,
    /// Records that ought to be before this line are not there.
    Missing {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// A record that ought to be further up: moved, or there twice.
    Misplaced {
        /// Its number.
        seq: u64,
        /// The number before it.
        after: u64,
    },
    /// The record does not follow the one before: one of both was made by somebody else.
    Unchained {
        /// Its number.
        seq: u64,
    },
    /// A file that is not the last one ends within a line.
    Cut {
        /// Bytes of that line.
        bytes: u64,
    },
    /// The record speaks of torn bytes before it, and there are none.
    TornRemoved,
    /// The record of this number is another one.
    HeadDiffers {
        /// The record that was expected.
        expected: Head,
    },
    /// The log ends before the expected record.
    HeadMissing {
        /// The record that was expected.
        expected: Head,
        /// The last number; 0 if there is no record.
        last: u64,
    },
    /// The log begins behind the expected record, so nothing can be said of it.
    HeadTooOld {
        /// The record that was expected.
        expected: Head,
        /// The first number.
        first: u64,
    },
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn problem(&mut self, file: String, line: u64, what: What) {
        if self.problems.len() < MOST {
            self.problems.push(Problem { file, line, what });
        } else {
            self.more += 1;
        }
    }
}

impl What {
    /// A name for programs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Missing { .. } => "missing",
            Self::Misplaced { .. } => "misplaced",
            Self::Unchained { .. } => "unchained",
            Self::Cut { .. } => "cut",
            Self::TornRemoved => "torn_removed",
            Self::HeadDiffers { .. } => "head_differs",
            Self::HeadMissing { .. } => "head_missing",
            Self::HeadTooOld { .. } => "head_too_old",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => f.write_str("the line was changed: its hash is not that of its bytes"),
            Self::Missing { from, to } if from == to => {
                write!(f, "record {from} is missing before this line")
            }
            Self::Missing { from, to } => {
                write!(f, "records {from} to {to} are missing before this line")
            }
            Self::Misplaced { seq, after } => {
                write!(
                    f,
                    "record {seq} stands behind record {after}: it was moved, or is there twice"
                )
            }
            Self::Unchained { seq } => write!(
                f,
                "record {seq} does not follow the one before: one of both was not written by the daemon"
            ),
            Self::Cut { bytes } => write!(
                f,
                "the file ends within a line, after {bytes} bytes of it, and is not the last one"
            ),
            Self::TornRemoved => {
                f.write_str("the torn line that this record speaks of is not there")
            }
            Self::HeadDiffers { expected } => write!(
                f,
                "record {} is not the expected one, whose hash is {}",
                expected.seq, expected.hash
            ),
            Self::HeadMissing { expected, last } => write!(
                f,
                "the log ends with record {last}, before the expected record {}: its end was cut off",
                expected.seq
            ),
            Self::HeadTooOld { expected, first } => write!(
                f,
                "the log begins with record {first}, behind the expected record {}: give the older files, too",
                expected.seq
            ),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}
