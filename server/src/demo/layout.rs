//! Where everything of the story lies in guest-physical memory.
//!
//! ```text
//!  0x0         low memory, 16 MiB; the racers meet at 1 MiB, the daemon dies at 4 MiB
//!  …           nothing
//!  4 GiB − n   four fresh pages, then the image, whose last byte is the last below 4 GiB: there a processor starts
//! ```
//!
//! **Invariant:** an address of the story is computed here and nowhere else.

use anyhow::Context as _;
use stagepages_client::addr::{Gpa, PAGE_BYTES, Region};

/// Fresh pages in front of the image.
pub(super) const FRESH: u64 = 4;
const FOUR_GIB: u64 = 1 << 32;

/// The addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Low memory.
    pub(super) low: Region,
    /// The image, with the fresh pages in front.
    pub(super) high: Region,
    /// First page of the image.
    pub(super) image: Gpa,
    /// First page that the racers want.
    pub(super) race: Gpa,
    /// First page that is staged around the daemon's death.
    pub(super) survival: Gpa,
}

impl Layout {
    /// For an image of `pages` pages, far fewer than fill the space between 16 MiB and 4 GiB.
    pub(super) fn new(pages: u64) -> Self {
        let image = Gpa::new(FOUR_GIB - pages * PAGE_BYTES);
        let size = (FRESH + pages) * PAGE_BYTES;
        Self {
            low: Region {
                gpa: Gpa::new(0),
                size: 16 << 20,
            },
            high: Region {
                gpa: Gpa::new(FOUR_GIB - size),
                size,
            },
            image,
            race: Gpa::new(1 << 20),
            survival: Gpa::new(4 << 20),
        }
    }
}

/// The address `pages` pages behind `gpa`.
pub(super) fn behind(gpa: Gpa, pages: u64) -> anyhow::Result<Gpa> {
    gpa.plus_pages(pages).with_context(|| {
        format!("{pages} pages behind GPA {gpa} is past the end of the address space")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_ends_at_4_gib_and_fresh_pages_lie_before_it() {
        for pages in [1, 512, 16384] {
            let layout = Layout::new(pages);
            assert_eq!(layout.image.plus_pages(pages), Some(Gpa::new(1 << 32)));
            assert_eq!(layout.high.gpa.plus_pages(FRESH), Some(layout.image));
            assert!(layout.high.gpa.bytes() > layout.low.size);
        }
    }
}
