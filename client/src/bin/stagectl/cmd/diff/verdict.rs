//! What comes out of a comparison: in a word, as an exit status, and what to do.
//!
//! **Invariant:** only what is the same in everything that can be compared is a success, or with `--prefix` what is so far.

use stagepages_client::diff::Comparison;

use super::document::Document;
use crate::failure::Failure;

/// What comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The same pages in the same order, made with the same settings, and no two digests.
    Identical,
    /// All pages that are there are as planned, and so are the settings; the rest of the pages is not there.
    Prefix,
    /// The same in all that is measured; some pages hold something else that is not.
    Unmeasured,
    /// The same pages, made with the same settings, and another digest: the only thing in it that neither lists is a state that a vCPU was given later.
    OtherDigest,
    /// Anything else.
    Diverges,
}

impl Verdict {
    /// `other_digest` says that both have a digest of all their pages, and not the same.
    pub(super) fn of(comparison: &Comparison, same_settings: bool, other_digest: bool) -> Self {
        match comparison {
            _ if !same_settings => Self::Diverges,
            it if it.has_measured() && other_digest => Self::OtherDigest,
            it if it.is_identical() => Self::Identical,
            it if it.is_prefix() => Self::Prefix,
            it if it.has_measured() => Self::Unmeasured,
            _ => Self::Diverges,
        }
    }

    /// For scripts.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Identical => "IDENTICAL",
            Self::Prefix => "PREFIX",
            Self::Unmeasured => "UNMEASURED",
            Self::OtherDigest => "OTHER_DIGEST",
            Self::Diverges => "DIVERGES",
        }
    }
}

impl Document {
    /// The exit status, and what to do.
    pub(super) fn judge(&self, prefix_is_enough: bool) -> Result<(), Failure> {
        let unfinished = self.other.is_unfinished();
        let is_launch = self.other.state.is_some();
        let (what, hint) = match self.verdict {
            Verdict::Identical => return Ok(()),
            Verdict::Prefix if prefix_is_enough && unfinished => return Ok(()),
            Verdict::Prefix if unfinished => (
                "is not complete",
                "stage what is missing; --prefix is content with pages that are as planned so far",
            ),
            Verdict::Unmeasured => (
                "has other contents in pages that are not measured",
                "no digest tells these apart, so the guest has to check such pages itself; to hold others, stage the image that was meant into a new launch",
            ),
            Verdict::OtherDigest if is_launch => (
                "has the same pages, and a vCPU whose state was changed after creation",
                "neither the plan nor the launch lists what SetVcpuState sets: plan with the states that were meant, or stage the image into a new launch without `stagectl launch set-vcpu`",
            ),
            Verdict::Prefix | Verdict::Diverges | Verdict::OtherDigest if !is_launch => {
                ("is another image", self.hint_of_images())
            }
            Verdict::Prefix => (
                "ended before all planned pages were installed",
                "its digest cannot be the planned one: abort it and stage the whole image into a new launch",
            ),
            Verdict::Diverges if self.comparison.has_measured() => (
                "holds the pages that were planned, but was made with other settings",
                "plan with the settings that were meant, or create the launch anew with those of the plan: a launch keeps what it was created with",
            ),
            Verdict::Diverges | Verdict::OtherDigest => (
                "does not hold what was planned",
                "installed pages stay as they are: abort the launch, correct what staged the first page that differs, and stage the image into a new one",
            ),
        };
        Err(Failure::new(format!("{} {what}", self.other.title()), hint).documented())
    }

    /// What the difference of two images means for their digests.
    fn hint_of_images(&self) -> &'static str {
        match (&self.planned_digest, &self.other.digest) {
            _ if self.comparison.has_measured() => {
                "their pages are measured alike; each setting says whether it is in the digest"
            }
            (Some(one), Some(other)) if one == other => {
                "their digests are the same nevertheless: the platform measures alike what differs"
            }
            (Some(_), Some(_)) => {
                "the first page that differs is where its digest parts from the other's"
            }
            (None, _) | (_, None) => {
                "the first page that differs is where they part; there is no digest to compare"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use stagepages_client::{
        diff::{Sequence, compare},
        v1::Platform,
    };

    use super::*;

    #[test]
    fn another_digest_is_never_identical_and_settings_explain_it_first() {
        let nothing = Sequence::default();
        let same = compare(&nothing, &nothing, Platform::Sim);
        assert_eq!(Verdict::of(&same, true, false), Verdict::Identical);
        assert_eq!(Verdict::of(&same, true, true), Verdict::OtherDigest);
        assert_eq!(Verdict::of(&same, false, true), Verdict::Diverges);
    }
}
