//! What is worth saying about a plan before anything is staged.
//!
//! **Invariant:** every finding says what, where and the way out; its code never changes its meaning.

use std::fmt;

use crate::addr::Gpa;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// It can be staged, and is probably not what was meant.
    Warning,
    /// It would be refused, or could not end in the digest that is wanted.
    Error,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, for programs: `OVERLAP`.
    pub code: &'static str,
    /// Where in the guest.
    pub gpa: Option<Gpa>,
    /// Where in the image, in bytes.
    pub offset: Option<u64>,
    /// What it is, and the way out, for people.
    pub message: String,
}

impl Finding {
    /// One without a place.
    #[must_use]
    pub fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity,
            code,
            gpa: None,
            offset: None,
            message: message.into(),
        }
    }

    /// The same, at this address of the guest.
    #[must_use]
    pub fn at(self, gpa: Gpa) -> Self {
        Self {
            gpa: Some(gpa),
            ..self
        }
    }

    /// The same, at this offset of the image.
    #[must_use]
    pub fn at_offset(self, offset: u64) -> Self {
        Self {
            offset: Some(offset),
            ..self
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.severity, self.code)?;
        if let Some(gpa) = self.gpa {
            write!(f, " at {gpa}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " (image offset {offset:#x})")?;
        }
        write!(f, ": {}", self.message)
    }
}
