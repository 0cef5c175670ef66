//! What pages of each type are staged with.
//!
//! **Invariant:** what has no contents of its own is zeros to whoever measures it.
use bytes::Bytes;
use stagepages_proto::v1::PageType;
use stagepages_tests::{Contents, Extent, PAGE, page};

use crate::faults::cpuid_table;

/// The contents of `pages` pages.
pub(crate) fn contents(random: &mut Contents, page_type: PageType, pages: u64) -> Bytes {
    match page_type {
        PageType::Cpuid => cpuid_table::page(),
        PageType::Zero | PageType::Secrets => {
            vec![0; usize::try_from(pages * PAGE).expect("few pages")].into()
        }
        PageType::Normal | PageType::Unmeasured | PageType::Unspecified => random.pages(pages),
    }
}

/// The extent of them from GFN `gfn` on.
pub(crate) fn extent(gfn: u64, page_type: PageType, data: &Bytes) -> Extent {
    match page_type {
        PageType::Zero | PageType::Secrets => {
            let length = data.len().try_into().expect("few bytes");
            Extent::length(page(gfn), page_type, length)
        }
        PageType::Normal | PageType::Unmeasured | PageType::Cpuid | PageType::Unspecified => {
            Extent::data(page(gfn), page_type, data.clone())
        }
    }
}
