//! Pages that differ, as ranges.
//!
//! **Invariant:** every page is counted; no more than [`LISTED`] ranges are kept.

use crate::{
    addr::{Gpa, PAGE_BYTES},
    v1::PageType,
};

/// Ranges that are listed of each kind; all are counted.
pub const LISTED: usize = 1000;

/// Pages of one kind of difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// How many.
    pub pages: u64,
    /// How many ranges they make.
    pub ranges: u64,
    /// The first of these, at most [`LISTED`].
    pub listed: Vec<Range>,
    /// The last one, listed or not.
    last: Option<Range>,
}

/// Pages that are consecutive by address and, where they are at all, on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Address of the first.
    pub gpa: Gpa,
    /// How many, at least one.
    pub pages: u64,
    /// Where the first is in the plan; `None` if it is not.
    pub planned: Option<Place>,
    /// Where the first is among the installed ones; `None` if it is not.
    pub installed: Option<Place>,
}

/// A page's place in a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// How many pages come before it.
    pub ordinal: u64,
    /// Its type, which is that of the whole range.
    pub page_type: PageType,
}

impl Ranges {
    /// Adds pages, which belong to the last range if they continue it.
    pub(super) fn push(&mut self, range: Range) {
        self.pages = self.pages.saturating_add(range.pages);
        match &mut self.last {
            Some(last) if last.is_continued_by(&range) => {
                last.pages = last.pages.saturating_add(range.pages);
                // It is in the list unless that is full.
                if self.ranges == self.listed.len() as u64 {
                    self.listed.pop();
                    self.listed.push(*last);
                }
            }
            last => {
                *last = Some(range);
                self.ranges = self.ranges.saturating_add(1);
                if self.listed.len() < LISTED {
                    self.listed.push(range);
                }
            }
        }
    }
}

impl Range {
    fn is_continued_by(&self, next: &Self) -> bool {
        let continued = |mine: Option<Place>, next: Option<Place>| match (mine, next) {
            (None, None) => true,
            (Some(mine), Some(next)) => {
                let behind = mine.ordinal.checked_add(self.pages);
                behind == Some(next.ordinal) && mine.page_type == next.page_type
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        self.gpa.plus_pages(self.pages) == Some(next.gpa)
            && continued(self.planned, next.planned)
            && continued(self.installed, next.installed)
    }

    /// The address behind the last page.
    #[must_use]
    pub fn end(&self) -> Gpa {
        let bytes = self.pages.saturating_mul(PAGE_BYTES);
        Gpa::new(self.gpa.bytes().saturating_add(bytes))
    }
}
