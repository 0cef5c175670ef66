//! The three classes of launches.
//!
//! **Invariant:** a class orders nothing but launches: it changes neither the size of a grant nor what is refused.

use std::fmt;

/// How urgent a launch is. Ordered from what goes first to what goes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Class {
    /// Before all others.
    High,
    /// What a launch is unless somebody says otherwise.
    #[default]
    Normal,
    /// After all others, but never not at all.
    Low,
}

impl Class {
    /// All classes, in order.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// Its index in [`Class::ALL`].
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::High => 0,
            Self::Normal => 1,
            Self::Low => 2,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        })
    }
}
