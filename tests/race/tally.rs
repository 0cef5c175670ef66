//! What a race came to, in numbers.
//!
//! **Invariant:** adds up what answers said; nothing is asked of the daemon.
use std::fmt;
use std::ops::AddAssign;

/// Numbers of one client, one launch, or all.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    /// Launches that were held against their clients' accounts.
    pub(crate) launches: u64,
    /// Calls of StagePages.
    pub(crate) calls: u64,
    /// Of these: extents that were installed in part.
    pub(crate) short: u64,
    /// Of these: extents whose first page was somebody's already.
    pub(crate) refused: u64,
    /// Pages, summed over all counts.
    pub(crate) installed: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.launches += other.launches;
        self.calls += other.calls;
        self.short += other.short;
        self.refused += other.refused;
        self.installed += other.installed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            launches,
            calls,
            short,
            refused,
            installed,
        } = self;
        write!(
            f,
            "{launches} launches, {calls} calls, {short} short, {refused} already installed, {installed} pages, each in the right hands"
        )
    }
}
