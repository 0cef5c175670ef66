//! The guest's memory: as little as the image needs, or what was given, if the image fits.
//!
//! **Invariant:** every page that is loaded lies in exactly one region, and is loaded once.

use super::{super::ImageError, directives::Content, walk::Raw};
use crate::{
    addr::{Gpa, PAGE_BYTES, Region},
    plan::MOST_REGIONS,
};

/// The end of the largest guest's address space.
const END: u64 = 1 << 52;

/// Some of the guest's memory, and which header speaks of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    gpa: u64,
    end: u64,
    offset: u64,
}

impl Span {
    /// `None` if there is nothing in it.
    ///
    /// # Errors
    /// Not of whole pages, or past the end of the address space.
    pub(super) fn new(raw: &Raw<'_>, gpa: u64, size: u64) -> Result<Option<Self>, ImageError> {
        if !gpa.is_multiple_of(PAGE_BYTES) || !size.is_multiple_of(PAGE_BYTES) {
            return Err(raw.wrong(format!(
                "{size:#x} bytes at GPA {gpa:#x} are no whole pages of {PAGE_BYTES:#x}; make the file anew"
            )));
        }
        let end = gpa.checked_add(size).filter(|end| *end <= END);
        match end {
            Some(end) => Ok((size > 0).then_some(Self {
                gpa,
                end,
                offset: raw.offset,
            })),
            None => Err(raw.wrong(format!(
                "{size:#x} bytes at GPA {gpa:#x} reach past {END:#x}, where guests end; make the file anew"
            ))),
        }
    }

    fn is_in(&self, region: &Region) -> bool {
        let end = region.gpa.bytes().saturating_add(region.size);
        region.gpa.bytes() <= self.gpa && self.end <= end
    }
}

/// The regions, by address.
///
/// # Errors
/// Pages lie on one another, outside the memory that was given, or in too many places; or there are none.
pub(super) fn regions(
    content: &Content,
    required: &[Span],
    given: &[Region],
) -> Result<Vec<Region>, ImageError> {
    let mut loaded: Vec<Span> = content.pieces.iter().map(|piece| piece.span).collect();
    loaded.sort_unstable_by_key(|span| (span.gpa, span.offset));
    check_overlap(&loaded)?;
    if loaded.is_empty() {
        let problem = "it loads no page for this platform; give an image that does";
        return Err(ImageError::whole("IGVM file", problem));
    }
    let required = required.iter().chain(&content.required).copied();
    if given.is_empty() {
        loaded.extend(required);
        return least(&loaded);
    }
    let mut given = given.to_vec();
    given.sort_unstable_by_key(|region| region.gpa);
    for span in loaded {
        check_inside(&span, &given, "loaded")?;
    }
    let whole = joined(
        { given.iter() }
            .map(|region| Span {
                gpa: region.gpa.bytes(),
                end: region.gpa.bytes().saturating_add(region.size),
                offset: 0,
            })
            .collect(),
    );
    for span in required {
        check_inside(&span, &whole, "required")?;
    }
    Ok(given)
}

fn check_overlap(sorted: &[Span]) -> Result<(), ImageError> {
    let neighbours = sorted.iter().zip(sorted.iter().skip(1));
    let Some((below, above)) = { neighbours }.find(|(below, above)| below.end > above.gpa) else {
        return Ok(());
    };
    let (first, second) = (
        below.offset.min(above.offset),
        below.offset.max(above.offset),
    );
    let problem = format!(
        "it loads GPA {:#x}, which the header at offset {first:#x} loads already, and a page is installed once; make the file without one of them",
        above.gpa
    );
    Err(ImageError::at("IGVM directive", second, problem))
}

fn check_inside(span: &Span, sorted: &[Region], how: &str) -> Result<(), ImageError> {
    let behind = sorted.partition_point(|region| region.gpa.bytes() <= span.gpa);
    let region = behind.checked_sub(1).and_then(|at| sorted.get(at));
    if region.is_some_and(|region| span.is_in(region)) {
        return Ok(());
    }
    let problem = format!(
        "the {:#x} bytes at GPA {:#x} are {how}, and lie in no memory region whole; give the guest memory there",
        span.end - span.gpa,
        span.gpa
    );
    Err(ImageError::at("IGVM header", span.offset, problem))
}

/// The least regions that hold them all, if they are not too many.
fn least(spans: &[Span]) -> Result<Vec<Region>, ImageError> {
    let regions = joined(spans.to_vec());
    let Some(over) = regions.get(MOST_REGIONS) else {
        return Ok(regions);
    };
    let first = { spans.iter() }.find(|span| span.gpa == over.gpa.bytes());
    let problem = format!(
        "the bytes at GPA {} lie apart from all below, and so the guest's memory is in {} regions, where a launch has at most {MOST_REGIONS}; give the guest memory that holds them, or make the file with fewer gaps",
        over.gpa,
        regions.len()
    );
    let offset = first.map_or(0, |span| span.offset);
    Err(ImageError::at("IGVM header", offset, problem))
}

/// The least regions that hold them all.
fn joined(mut spans: Vec<Span>) -> Vec<Region> {
    spans.sort_unstable_by_key(|span| span.gpa);
    let mut regions: Vec<Region> = Vec::new();
    for span in spans {
        match regions.last_mut() {
            Some(last) if last.gpa.bytes() + last.size >= span.gpa => {
                last.size = last.size.max(span.end - last.gpa.bytes());
            }
            _ => regions.push(Region {
                gpa: Gpa::new(span.gpa),
                size: span.end - span.gpa,
            }),
        }
    }
    regions
}
