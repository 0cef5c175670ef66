//! What the metadata of either kind has in common: a list of sections, each of some pages of the guest.
//!
//! **Invariant:** an image that is read has at most 256 sections, no page in two of them or in the image too, and asks for at most 256 MiB of memory
//! beyond its own size: so what a plan costs is bounded by the file, whatever it claims.

use super::fields::Fields;
use crate::{
    addr::{Gpa, PAGE_BYTES},
    image::ImageError,
};

/// Sections of one image. OVMF has seven.
const MOST_SECTIONS: u32 = 256;
/// Memory that sections may ask for without bringing bytes for it.
const MOST_BEYOND_THE_FILE: u64 = 256 << 20;
/// Signature, bytes of all, version, how many.
const HEADER: u64 = 16;

/// Pages of the guest, and who wants them.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Bytes of the guest, not empty, whole pages.
    pub gpa: Gpa,
    pub size: u64,
    /// Where that is said in the file.
    pub offset: u64,
    pub name: &'static str,
}

/// Reads the header of a list at its beginning, and gives how many sections of `entry` bytes follow, and their fields.
///
/// # Errors
/// It is no such list, of another version, too long, or not all in the file.
pub(super) fn list<'a>(
    structure: &'static str,
    image: &'a [u8],
    distance: u32,
    signature: [u8; 4],
    entry: u64,
) -> Result<(u32, Fields<'a>), ImageError> {
    let mut header = Fields::before_end(structure, image, distance, HEADER)?;
    let offset = header.offset();
    let found: [u8; 4] = header.bytes()?;
    if found != signature {
        let problem = format!(
            "it begins with {:#010x} and not with `{}`; give an intact image",
            u32::from_be_bytes(found),
            signature.escape_ascii()
        );
        return Err(ImageError::at(structure, offset, problem));
    }
    let (size, version, count) = (header.u32()?, header.u32()?, header.u32()?);
    if version != 1 {
        let problem = format!("its version is {version:#x}; only 0x1 is known here");
        return Err(ImageError::at(structure, offset, problem));
    }
    if count > MOST_SECTIONS {
        let problem =
            format!("it claims {count:#x} sections; give an image with at most {MOST_SECTIONS:#x}");
        return Err(ImageError::at(structure, offset, problem));
    }
    let needed = HEADER + u64::from(count) * entry;
    if u64::from(size) < needed {
        let problem = format!(
            "it claims {size:#x} bytes, and its {count:#x} sections need {needed:#x}; give an intact image"
        );
        return Err(ImageError::at(structure, offset, problem));
    }
    // All that it claims has to be there, also what is behind the sections.
    Fields::at(structure, image, offset, size.into())?;
    let sections = Fields::at(structure, image, offset + HEADER, needed - HEADER)?;
    Ok((count, sections))
}

/// Refuses a section that is no whole pages, or leaves the address space.
pub(super) fn check_pages(
    structure: &'static str,
    offset: u64,
    gpa: u64,
    size: u64,
) -> Result<(), ImageError> {
    let problem = if !gpa.is_multiple_of(PAGE_BYTES) {
        format!("its address {gpa:#x} is no multiple of {PAGE_BYTES:#x} bytes")
    } else if !size.is_multiple_of(PAGE_BYTES) {
        format!("its size of {size:#x} bytes is no multiple of {PAGE_BYTES:#x}")
    } else if gpa.checked_add(size).is_none() {
        format!("{size:#x} bytes from {gpa:#x} on leave the address space")
    } else {
        return Ok(());
    };
    let problem = format!("{problem}; give an intact image");
    Err(ImageError::at(structure, offset, problem))
}

/// Refuses places that share a page: it would be installed twice, and no page can be.
pub(super) fn check_disjoint(
    structure: &'static str,
    places: impl IntoIterator<Item = Place>,
) -> Result<(), ImageError> {
    let mut places: Vec<Place> = places.into_iter().collect();
    places.sort_by_key(|place| place.gpa);
    for (one, next) in places.iter().zip(places.iter().skip(1)) {
        if next.gpa.bytes() - one.gpa.bytes() < one.size {
            let problem = format!(
                "{next} overlaps {one}, said at {:#x}; a page is installed only once, so give an image whose sections are apart",
                one.offset
            );
            return Err(ImageError::at(structure, next.offset, problem));
        }
    }
    Ok(())
}

/// Refuses places that ask for far more memory than the file has bytes.
pub(super) fn check_total(
    structure: &'static str,
    places: &[Place],
    image: &[u8],
) -> Result<(), ImageError> {
    let most = MOST_BEYOND_THE_FILE + image.len() as u64;
    let mut total = 0_u64;
    for place in places {
        total = total.saturating_add(place.size);
        if total > most {
            let problem = format!(
                "with {place} the sections ask for {total:#x} bytes of memory to be installed, more than {most:#x}; give an image that leaves memory to the guest to accept"
            );
            return Err(ImageError::at(structure, place.offset, problem));
        }
    }
    Ok(())
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}+{:#x})", self.name, self.gpa, self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(gpa: u64, size: u64, offset: u64) -> Place {
        let name = "memory";
        Place {
            gpa: Gpa::new(gpa),
            size,
            offset,
            name,
        }
    }

    #[test]
    fn places_may_touch_and_not_overlap() {
        let touching = [place(0x2000, 0x1000, 9), place(0x1000, 0x1000, 5)];
        assert_eq!(check_disjoint("list", touching), Ok(()));
        let sharing = [place(0x2000, 0x1000, 9), place(0x1000, 0x1001, 5)];
        let error = check_disjoint("list", sharing).unwrap_err();
        assert_eq!(error.offset, Some(9));
        assert!(
            error.problem.contains("(0x1000+0x1001), said at 0x5"),
            "{error}"
        );
        let last = u64::MAX - 0xfff;
        assert_eq!(
            check_disjoint(
                "list",
                [place(last, 0xfff, 0), place(0, u64::MAX - 0xfff, 1)]
            ),
            Ok(())
        );
    }

    #[test]
    fn sections_are_whole_pages_of_the_address_space() {
        assert_eq!(check_pages("list", 0, 0x1000, 0x2000), Ok(()));
        for (gpa, size) in [(1, 0x1000), (0x1000, 1), (u64::MAX - 0xfff, 0x1000)] {
            let error = check_pages("list", 3, gpa, size).unwrap_err();
            assert_eq!(error.offset, Some(3), "{error}");
        }
    }

    #[test]
    fn memory_beyond_the_file_is_bounded() {
        let file = [0; 0x1000];
        let most = MOST_BEYOND_THE_FILE + 0x1000;
        assert_eq!(check_total("list", &[place(0, most, 0)], &file), Ok(()));
        let error = check_total("list", &[place(0, most, 0), place(0, 1, 7)], &file).unwrap_err();
        assert_eq!(error.offset, Some(7));
        let huge = [place(0, u64::MAX, 0), place(0, u64::MAX, 7)];
        assert!(check_total("list", &huge, &file).is_err());
    }
}
