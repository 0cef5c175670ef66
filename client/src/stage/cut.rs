//! Cutting an extent into calls.
//!
//! **Invariant:** the cuts are consecutive, cover the extent once, and none is longer than it may be.

use super::Pages;

/// The calls of one extent, in ascending order.
#[derive(Debug)]
pub(crate) struct Cuts {
    rest: Option<Pages>,
    longest: u64,
}

impl Cuts {
    /// Cuts `extent`, whose end is inside the address space, into pieces of at most `longest` pages, at least one.
    pub(crate) fn new(extent: Pages, longest: u64) -> Self {
        Self {
            rest: (extent.count > 0).then_some(extent),
            longest: longest.max(1),
        }
    }
}

impl Iterator for Cuts {
    type Item = Pages;

    fn next(&mut self) -> Option<Pages> {
        let rest = self.rest.take()?;
        let cut = Pages {
            count: rest.count.min(self.longest),
            ..rest
        };
        self.rest = rest.behind(cut.count);
        Some(cut)
    }
}

impl Pages {
    /// What is left behind the first `count` pages; `None` if nothing is.
    pub(crate) fn behind(self, count: u64) -> Option<Self> {
        let left = self.count.checked_sub(count).filter(|left| *left > 0)?;
        Some(Self {
            gpa: self.gpa.plus_pages(count)?,
            count: left,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Gpa;

    fn cut(gpa: u64, count: u64, longest: u64) -> Vec<(u64, u64)> {
        Cuts::new(
            Pages {
                gpa: Gpa::new(gpa),
                count,
            },
            longest,
        )
        .map(|cut| (cut.gpa.bytes(), cut.count))
        .collect()
    }

    #[test]
    fn cuts_are_consecutive_and_cover_the_extent_once() {
        assert_eq!(cut(0x1000, 7, 3), [(0x1000, 3), (0x4000, 3), (0x7000, 1)]);
        assert_eq!(cut(0, 4, 4), [(0, 4)]);
        assert_eq!(cut(0, 1, u64::MAX), [(0, 1)]);
        assert_eq!(cut(0, 3, 1), [(0, 1), (0x1000, 1), (0x2000, 1)]);
    }
}
