//! Ways to build the protocol wrongly, one at a time: what the properties have to notice.
//!
//! **Invariant:** a flaw changes one decision of one party; all else is as in the protocol.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The host does not look for a kept answer before it judges a call.
    RepeatsAreNew,
    /// The host gives a kept answer to whoever comes with its number or id.
    ContentIsNotCompared,
    /// The host applies a call whatever its number.
    AnyNumberWillDo,
    /// The host installs a page that the ledger holds.
    Overwrites,
    /// The host counts the pages of the request.
    CountsWhatWasAsked,
    /// What is behind a stop on a stream is applied all the same.
    GoesOnBehindAStop,
    /// A host that died is replaced by a new one, with an empty ledger, under the same launch.
    RevivesTheHost,
    /// A restarted client makes up new request ids for its calls.
    RenamesItsCalls,
}
