//! The initial RAM disk: where it lies.

use super::{Space, Span};
use crate::{addr::Gpa, image::ImageError};

/// Lower memory is left to the kernel and to what it is told.
const LOWEST: u64 = 1 << 20;

/// As high as there is room below `limit`, the address that a kernel no longer takes.
///
/// # Errors
/// There is no room.
pub(super) fn place(space: &mut Space, bytes: u64, limit: Gpa) -> Result<Span, ImageError> {
    let place = Span::between(Gpa::new(LOWEST), page_below(limit))
        .and_then(|within| space.highest(bytes, within));
    let Some(place) = place else {
        let problem = format!(
            "{bytes:#x} bytes; the guest's memory has no free place for them between GPA {LOWEST:#x} and {limit}, where this kernel takes it; give more memory there, or a smaller file"
        );
        return Err(ImageError::whole("initrd", problem));
    };
    space.take("the initrd", place)?;
    Ok(place)
}

fn page_below(limit: Gpa) -> Gpa {
    Gpa::new(limit.bytes() & !0xfff)
}
