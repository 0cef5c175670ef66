//! Whether a whole source lies inside one memory region of the launch.
//!
//! **Invariant:** the same rule as the daemon's for one call, so that cutting a source into calls loses nothing of it.

use stagepages_proto::v1::MemoryRegion;

use super::Pages;
use crate::addr::Gpa;

/// The first address of `extent` outside the region that it begins in; `None` if it lies inside. A region that follows without a gap
/// is another one.
pub(super) fn first_outside(regions: &[MemoryRegion], extent: Pages) -> Option<Gpa> {
    let first = extent.gpa.bytes();
    let begins_in =
        |region: &&MemoryRegion| first >= region.gpa && first - region.gpa < region.size;
    let Some(region) = regions.iter().find(begins_in) else {
        return Some(extent.gpa);
    };
    let region_end = Gpa::new(region.gpa.saturating_add(region.size));
    let inside = extent
        .gpa
        .plus_pages(extent.count)
        .is_some_and(|end| end <= region_end);
    (!inside).then_some(region_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_outside_is_named() {
        let regions = [
            MemoryRegion {
                gpa: 0x1000,
                size: 0x3000,
            },
            MemoryRegion {
                gpa: 0x4000,
                size: 0x1000,
            },
            MemoryRegion {
                gpa: 0x10_0000,
                size: 0x2000,
            },
        ];
        for (gpa, count, outside) in [
            (0x1000, 3, None),
            (0x3000, 1, None),
            (0x0, 1, Some(0x0)),
            (0x1000, 4, Some(0x4000)),
            (0x4000, 1, None),
            (0x5000, 1, Some(0x5000)),
            (0x10_1000, 2, Some(0x10_2000)),
            (0x10_1000, u64::MAX, Some(0x10_2000)),
            (u64::MAX - 0xfff, 1, Some(u64::MAX - 0xfff)),
        ] {
            let extent = Pages {
                gpa: Gpa::new(gpa),
                count,
            };
            assert_eq!(
                first_outside(&regions, extent),
                outside.map(Gpa::new),
                "{extent:?}"
            );
        }
    }

    #[test]
    fn a_launch_without_memory_holds_nothing() {
        let extent = Pages {
            gpa: Gpa::new(0),
            count: 1,
        };
        assert_eq!(first_outside(&[], extent), Some(Gpa::new(0)));
    }
}
