//! The image itself, in the guest: it ends at 4 GiB, where the processor begins.
//!
//! **Invariant:** all of the image, and nothing else.

use super::sections::Place;
use crate::{
    addr::{Gpa, PAGE_BYTES, Region},
    image::ImageError,
    plan::{Contents, Extent},
    v1::PageType,
};

const IMAGE: &str = "firmware image";
/// Where it ends.
const END: u64 = 1 << 32;

/// All of it as NORMAL pages.
///
/// # Errors
/// It is no whole pages, or too large.
pub(super) fn extent(image: &bytes::Bytes) -> Result<Extent, ImageError> {
    let region = region(image)?;
    let contents = Contents::Bytes(image.clone());
    Extent::new(region.gpa, PageType::Normal, contents, "image")
        .ok_or_else(|| ImageError::whole(IMAGE, "it is empty; give an image"))
}

/// Where it is.
///
/// # Errors
/// As for [`extent`].
pub(super) fn region(image: &[u8]) -> Result<Region, ImageError> {
    let size = image.len() as u64;
    let start = END.checked_sub(size).ok_or_else(|| {
        let problem =
            format!("it has {size:#x} bytes and must end at {END:#x}; give one that fits");
        ImageError::whole(IMAGE, problem)
    })?;
    if !size.is_multiple_of(PAGE_BYTES) {
        let problem = format!(
            "it has {size:#x} bytes, no multiple of {PAGE_BYTES:#x}, and is installed in whole pages; give the whole image"
        );
        return Err(ImageError::whole(IMAGE, problem));
    }
    Ok(Region {
        gpa: Gpa::new(start),
        size,
    })
}

/// Its pages, so that no section overlaps them.
pub(super) fn place(rom: &Extent) -> Place {
    Place {
        gpa: rom.gpa(),
        size: rom.pages() * PAGE_BYTES,
        offset: 0,
        name: "the image itself",
    }
}
