//! What all rounds came to, in one line.
use std::fmt;

/// Numbers of one platform and mode.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) rounds: u64,
    /// Connections cut off at a random byte.
    pub(crate) cuts: u64,
    /// Connections refused.
    pub(crate) refusals: u64,
    /// Clients that were killed, or forgot everything.
    pub(crate) kills: u64,
    /// Calls that were sent or asked for again, where the client is the test's own.
    pub(crate) repeats: Option<u64>,
    /// Pages, summed over all counts.
    pub(crate) counted: u64,
}

impl Tally {
    /// Adds what a proxy did.
    pub(crate) fn proxied(&mut self, (cuts, refusals): (u64, u64)) {
        self.cuts += cuts;
        self.refusals += refusals;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rounds,
            cuts,
            refusals,
            kills,
            repeats,
            counted,
        } = self;
        write!(
            f,
            "{rounds} rounds, {cuts} cuts, {refusals} refused connections, {kills} kills, "
        )?;
        if let Some(repeats) = repeats {
            write!(f, "{repeats} repeats, ")?;
        }
        write!(f, "{counted} pages counted once each")
    }
}
