//! What the ledger held when a session began: where its predecessor of the same name can have been.
//!
//! **Invariant:** says only where to ask; what was counted, answers tell.

use stagepages_proto::v1::InstalledRun;

use crate::{addr::PAGE_BYTES, stage::Pages};

/// Installed pages, or all pages where the ledger cannot be read.
#[derive(Debug, Default)]
pub(super) struct Held(Option<Vec<(u64, u64)>>);

impl Held {
    /// Nothing.
    pub(super) fn nothing() -> Self {
        Self(Some(Vec::new()))
    }

    /// Perhaps everything: the launch is over, and its ledger with it.
    pub(super) fn unknown() -> Self {
        Self(None)
    }

    /// These runs, in order of GPA.
    pub(super) fn new(runs: &[InstalledRun]) -> Self {
        let mut held: Vec<(u64, u64)> = Vec::new();
        for run in runs {
            let end = run.gpa.saturating_add(run.pages.saturating_mul(PAGE_BYTES));
            match held.last_mut() {
                Some((_, last)) if *last == run.gpa => *last = end,
                _ => held.push((run.gpa, end)),
            }
        }
        Self(Some(held))
    }

    /// Whether any of `pages` was installed.
    pub(super) fn any_of(&self, pages: Pages) -> bool {
        let Some(held) = &self.0 else { return true };
        let first = pages.gpa.bytes();
        let end = first.saturating_add(pages.count.saturating_mul(PAGE_BYTES));
        let next = held.partition_point(|(_, held_end)| *held_end <= first);
        held.get(next).is_some_and(|(start, _)| *start < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Gpa;

    #[test]
    fn any_installed_page_counts() {
        let run = |gpa, pages| InstalledRun {
            gpa,
            pages,
            ..InstalledRun::default()
        };
        let held = Held::new(&[run(0x2000, 1), run(0x3000, 2), run(0x9000, 1)]);
        for (gpa, count, any) in [
            (0x0, 2, false),
            (0x0, 3, true),
            (0x4000, 1, true),
            (0x5000, 4, false),
            (0x5000, 5, true),
            (0xa000, 9, false),
        ] {
            let pages = Pages {
                gpa: Gpa::new(gpa),
                count,
            };
            assert_eq!(held.any_of(pages), any, "{pages:?}");
            assert!(!Held::nothing().any_of(pages) && Held::unknown().any_of(pages));
        }
    }
}
