//! The guest's memory around what an image installs.
//!
//! **Invariant:** memory that is wanted is taken as it is, or refused; never stretched.

use crate::{
    addr::{Gpa, PAGE_BYTES, Region},
    image::ImageError,
    plan::{Extent, Finding, Severity},
};

const MEMORY: &str = "guest memory";
/// The end of the largest address space that the API has.
const LAST: u64 = 1 << 52;

/// The memory of a launch that installs these: what is wanted, or the least that holds them, which is then told.
///
/// # Errors
/// What is wanted is no memory, or does not hold them.
pub(super) fn of(
    extents: &[Extent],
    wanted: &[Region],
) -> Result<(Vec<Region>, Option<Finding>), ImageError> {
    if wanted.is_empty() {
        let text = "the guest's memory is just what the image is installed into; give memory for a guest that is to run";
        let note = Finding::new(Severity::Note, "LEAST_MEMORY", text);
        return Ok((least(extents), Some(note)));
    }
    Ok((holding(extents, wanted)?, None))
}

/// What is wanted, by address.
///
/// # Errors
/// It is no memory, or an extent is not in one of its regions.
pub(super) fn holding(extents: &[Extent], wanted: &[Region]) -> Result<Vec<Region>, ImageError> {
    let mut regions = wanted.to_vec();
    regions.sort_by_key(|region| region.gpa);
    for region in &regions {
        let whole = [region.gpa.bytes(), region.size]
            .iter()
            .all(|it| it.is_multiple_of(PAGE_BYTES));
        if !whole || region.size == 0 || end(region).is_none_or(|end| end > LAST) {
            let problem = format!(
                "{region} is no region of whole pages of {PAGE_BYTES:#x} bytes below {LAST:#x}; give GPA+SIZE, for example 0x0+64M"
            );
            return Err(ImageError::whole(MEMORY, problem));
        }
    }
    for (one, next) in regions.iter().zip(regions.iter().skip(1)) {
        if end(one).is_none_or(|end| end > next.gpa.bytes()) {
            let problem = format!("{one} overlaps {next}; give regions that are apart");
            return Err(ImageError::whole(MEMORY, problem));
        }
    }
    for extent in extents {
        let size = extent.end().bytes() - extent.gpa().bytes();
        let inside = |region: &Region| {
            region.gpa <= extent.gpa() && end(region).is_some_and(|end| extent.end().bytes() <= end)
        };
        if !regions.iter().any(inside) {
            let problem = format!(
                "no region holds the image's {} at {}+{size:#x}; give one that does",
                extent.name(),
                extent.gpa()
            );
            return Err(ImageError::whole(MEMORY, problem));
        }
    }
    Ok(regions)
}

/// The fewest pages that hold them all: extents that touch share a region.
fn least(extents: &[Extent]) -> Vec<Region> {
    let mut extents: Vec<&Extent> = extents.iter().collect();
    extents.sort_by_key(|extent| extent.gpa());
    let mut regions: Vec<Region> = Vec::new();
    for extent in extents {
        let (from, to) = (extent.gpa().bytes(), extent.end().bytes());
        match regions.last_mut() {
            Some(last) if end(last) >= Some(from) => {
                last.size = last.size.max(to - last.gpa.bytes());
            }
            _ => regions.push(Region {
                gpa: Gpa::new(from),
                size: to - from,
            }),
        }
    }
    regions
}

fn end(region: &Region) -> Option<u64> {
    region.gpa.bytes().checked_add(region.size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::PageType;

    fn extents() -> Vec<Extent> {
        [(0x9000, 1), (0x1000, 2), (0x3000, 1)]
            .into_iter()
            .filter_map(|(gpa, pages)| Extent::zeros(Gpa::new(gpa), PageType::Zero, pages, "zeros"))
            .collect()
    }

    fn regions(texts: &[&str]) -> Vec<Region> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_least_memory_is_the_extents_where_they_touch_in_one_region() {
        let (memory, note) = of(&extents(), &[]).unwrap();
        assert_eq!(memory, regions(&["0x1000+12K", "0x9000+4K"]));
        assert_eq!(note.unwrap().code, "LEAST_MEMORY");
    }

    #[test]
    fn memory_that_holds_every_extent_is_taken_by_address() {
        let wanted = regions(&["0x9000+4K", "0x0+16K"]);
        let (memory, note) = of(&extents(), &wanted).unwrap();
        assert_eq!((memory, note), (regions(&["0x0+16K", "0x9000+4K"]), None));
    }

    #[test]
    fn memory_that_is_none_or_too_little_is_refused() {
        for (wanted, told) in [
            (vec!["0x0+16K"], "zeros at 0x9000+0x1000"),
            (vec!["0x1000+8K", "0x3000+28K", "0x2000+4K"], "overlaps"),
            (vec!["0x1000+4K", "0x2000+64K"], "zeros at 0x1000+0x2000"),
            (vec!["0x0+64K", "0x10001+4K"], "0x10001+4K is no region"),
            (vec!["0x0+64K", "0x10000+0"], "0x10000+0 is no region"),
            (vec!["0x0+8192T"], "is no region"),
            (vec!["0xfffffffffffff000+64K"], "is no region"),
        ] {
            let error = of(&extents(), &regions(&wanted)).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
