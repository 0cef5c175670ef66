//! A VM's memory: memslots, attributes, guest_memfds.
//!
//! **Invariant:** a page of a guest_memfd is told by its index there, so two memslots never disagree on its state.

mod file;
mod gmem;
mod ioctls;
mod ranges;

use std::collections::BTreeMap;

pub(crate) use self::file::Punch;
pub use self::gmem::{Gmem, Page};
pub(crate) use self::ioctls::{
    create_guest_memfd, guest_memfd_flags, has_guest_memfd, set_attributes, set_region,
    supported_attributes,
};
pub use self::ranges::Ranges;

use crate::world::FileId;

/// The bytes of a page.
pub const PAGE: u64 = 4096;

/// A VM's memory.
#[derive(Debug, Default)]
pub struct Memory {
    /// The memslots, by number.
    pub slots: BTreeMap<u32, Slot>,
    /// The frames with the attribute PRIVATE.
    pub private: Ranges,
    /// The guest_memfds that were made for this VM.
    pub gmems: BTreeMap<FileId, Gmem>,
}

/// A memslot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its first frame.
    pub gfn: u64,
    /// Its number of pages.
    pub pages: u64,
    /// Its guest_memfd, and the index of its first page there.
    pub gmem: Option<(FileId, u64)>,
}

impl Slot {
    /// The frame is in it.
    #[must_use]
    pub fn holds(&self, gfn: u64) -> bool {
        gfn >= self.gfn && gfn - self.gfn < self.pages
    }

    /// The number of pages from this frame of it to its end.
    #[must_use]
    pub fn pages_from(&self, gfn: u64) -> u64 {
        self.pages - (gfn - self.gfn)
    }
}

impl Memory {
    /// The memslot that a frame is in.
    #[must_use]
    pub fn slot_of(&self, gfn: u64) -> Option<Slot> {
        self.slots.values().find(|slot| slot.holds(gfn)).copied()
    }

    /// A page was installed in this frame, and is still there.
    #[must_use]
    pub fn is_installed(&self, gfn: u64) -> bool {
        self.slot_of(gfn)
            .and_then(|slot| {
                let (file, first) = slot.gmem?;
                self.gmems.get(&file)?.pages.get(&(first + gfn - slot.gfn))
            })
            .is_some_and(|page| page.installed)
    }
}
