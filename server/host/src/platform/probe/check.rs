//! One thing that a platform needs.
//!
//! **Invariant:** made here, what is there has no remedy and what is missing has one.

/// One thing that a platform needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub subject: String,
    /// Whether it is there: whether a launch can be created, as far as this goes.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What an operator can do if it is not there.
    pub remedy: String,
}

impl Check {
    /// It is there, or nothing is known against it.
    pub(super) fn there(subject: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            ok: true,
            found: found.into(),
            remedy: String::new(),
        }
    }

    /// It is not there, and this is what to do about it.
    pub(super) fn missing(
        subject: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            subject: subject.into(),
            ok: false,
            found: found.into(),
            remedy: remedy.into(),
        }
    }
}
