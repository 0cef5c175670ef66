//! The guest's memory, and what lies in it.
//!
//! **Invariant:** two things that were placed never share a page.

use crate::{
    addr::{Gpa, PAGE_BYTES, Region},
    image::ImageError,
};

/// Whole pages, at least one: the first address and the one behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::image) struct Span {
    pub(in crate::image) start: Gpa,
    pub(in crate::image) end: Gpa,
}

impl Span {
    /// The pages that these bytes touch; `None` if there are none, or they reach past the end of the address space.
    pub(in crate::image) fn of(start: Gpa, bytes: u64) -> Option<Self> {
        let end = start.bytes().checked_add(bytes)?;
        let first = start.bytes() / PAGE_BYTES * PAGE_BYTES;
        let end = end.checked_next_multiple_of(PAGE_BYTES)?;
        (bytes > 0).then_some(Self {
            start: Gpa::new(first),
            end: Gpa::new(end),
        })
    }

    /// From the first address up to the second; `None` if that is nothing.
    pub(in crate::image) fn between(start: Gpa, end: Gpa) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    pub(in crate::image) fn bytes(self) -> u64 {
        self.end.bytes() - self.start.bytes()
    }

    fn holds(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    fn common(self, other: Self) -> Option<Self> {
        Self::between(self.start.max(other.start), self.end.min(other.end))
    }
}

/// Memory, and what lies in it.
#[derive(Clone, Debug)]
pub(in crate::image) struct Space {
    /// As given, by address.
    memory: Vec<Region>,
    /// The same without seams.
    runs: Vec<Span>,
    taken: Vec<Span>,
}

impl Space {
    /// Memory in which nothing lies yet.
    ///
    /// # Errors
    /// A region is empty, has no whole pages, leaves the address space, or overlaps another.
    pub(in crate::image) fn new(memory: &[Region]) -> Result<Self, ImageError> {
        let mut memory = memory.to_vec();
        memory.sort_unstable_by_key(|region| region.gpa);
        let mut runs: Vec<Span> = Vec::new();
        for region in &memory {
            let wrong = |why: &str| {
                let problem = format!("region {region} {why}");
                Err(ImageError::whole("guest memory", problem))
            };
            let whole = (region.gpa.bytes() | region.size).is_multiple_of(PAGE_BYTES);
            let Some(span) = Span::of(region.gpa, region.size).filter(|_| whole) else {
                return wrong(
                    "is not made of whole pages of 0x1000 bytes; give GPA+SIZE, for example 0x0+64M",
                );
            };
            match runs.last_mut() {
                Some(last) if span.start < last.end => {
                    return wrong("overlaps the one before it; give each address once");
                }
                Some(last) if span.start == last.end => last.end = span.end,
                Some(_) | None => runs.push(span),
            }
        }
        Ok(Self {
            memory,
            runs,
            taken: Vec::new(),
        })
    }

    /// The memory that spans need, in regions of whole `grain` bytes.
    pub(in crate::image) fn around(spans: &[Span], grain: u64) -> Result<Self, ImageError> {
        let mut spans: Vec<Span> = spans
            .iter()
            .filter_map(|span| {
                let start = span.start.bytes() / grain * grain;
                let end = span.end.bytes().checked_next_multiple_of(grain)?;
                Span::between(Gpa::new(start), Gpa::new(end))
            })
            .collect();
        spans.sort_unstable();
        let mut regions: Vec<Region> = Vec::new();
        for span in spans {
            let end = span.end.bytes();
            match regions.last_mut() {
                Some(last) if span.start.bytes() <= last.gpa.bytes() + last.size => {
                    last.size = last.size.max(end - last.gpa.bytes());
                }
                Some(_) | None => regions.push(Region {
                    gpa: span.start,
                    size: span.bytes(),
                }),
            }
        }
        Self::new(&regions)
    }

    /// The regions, by address.
    pub(in crate::image) fn memory(&self) -> &[Region] {
        &self.memory
    }

    /// The regions without seams.
    pub(super) fn runs(&self) -> &[Span] {
        &self.runs
    }

    /// Whether something could be placed there.
    pub(in crate::image) fn is_free(&self, span: Span) -> bool {
        self.runs.iter().any(|run| run.holds(span))
            && !self.taken.iter().any(|other| other.common(span).is_some())
    }

    /// Places `what` there.
    ///
    /// # Errors
    /// It is not all memory, or something lies there.
    pub(in crate::image) fn take(&mut self, what: &str, span: Span) -> Result<(), ImageError> {
        if self.is_free(span) {
            self.taken.push(span);
            return Ok(());
        }
        let Span { start, end } = span;
        let problem = match self.runs.iter().any(|run| run.holds(span)) {
            true => format!(
                "{what} would lie over something else at GPA {start} to {end}; give an image whose parts are apart"
            ),
            false => format!(
                "{what} needs GPA {start} to {end}, which is not all in the guest's memory; give memory there"
            ),
        };
        Err(ImageError::whole("guest memory", problem))
    }

    /// The lowest free place for `bytes` in `within`, at a multiple of `align`, a power of two of whole pages.
    pub(in crate::image) fn lowest(&self, bytes: u64, align: u64, within: Span) -> Option<Span> {
        self.free(within).into_iter().find_map(|gap| {
            let start = gap.start.bytes().checked_next_multiple_of(align)?;
            Span::of(Gpa::new(start), bytes).filter(|span| gap.holds(*span))
        })
    }

    /// The highest free place for `bytes` in `within`.
    pub(in crate::image) fn highest(&self, bytes: u64, within: Span) -> Option<Span> {
        self.free(within).into_iter().rev().find_map(|gap| {
            let whole = bytes.checked_next_multiple_of(PAGE_BYTES)?;
            let start = gap.end.bytes().checked_sub(whole)?;
            Span::of(Gpa::new(start), bytes).filter(|span| gap.holds(*span))
        })
    }

    /// What is free in `within`, by address.
    fn free(&self, within: Span) -> Vec<Span> {
        let mut taken = self.taken.clone();
        taken.sort_unstable();
        let mut gaps = Vec::new();
        for run in self.runs.iter().filter_map(|run| run.common(within)) {
            let mut from = run.start;
            for other in taken.iter().filter_map(|other| other.common(run)) {
                gaps.extend(Span::between(from, other.start));
                from = from.max(other.end);
            }
            gaps.extend(Span::between(from, run.end));
        }
        gaps
    }
}
