//! Whether a whole source can lie where it shall: page-aligned, inside one memory region of the launch.
//!
//! **Invariant:** the same rule as the daemon's for one call, so that cutting a source into calls loses nothing of it.

use stagepages_proto::v1::MemoryRegion;
use tonic::Code;

use super::Pages;
use crate::{
    LaunchRef, StagepagesError,
    addr::{Gpa, PAGE_BYTES},
    reason,
};

/// Refuses an extent that no call could install whole.
pub(crate) fn check(
    launch: &LaunchRef,
    regions: &[MemoryRegion],
    extent: Pages,
) -> Result<(), StagepagesError> {
    let Pages { gpa, count } = extent;
    let invalid = |message: String| {
        Err(refused(
            launch,
            Code::InvalidArgument,
            reason::INVALID_EXTENT,
            &message,
            gpa,
        ))
    };
    if !gpa.bytes().is_multiple_of(PAGE_BYTES) {
        return invalid(format!("GPA {gpa} is no multiple of 4096"));
    }
    if gpa.plus_pages(count).is_none() {
        return invalid(format!(
            "{count} pages at GPA {gpa} reach past the end of the address space"
        ));
    }
    first_outside(regions, extent).map_or(Ok(()), |outside| {
        let message =
            format!("GPA {outside} is outside the memory region for {count} pages at GPA {gpa}");
        Err(refused(
            launch,
            Code::OutOfRange,
            reason::OUTSIDE_MEMORY,
            &message,
            outside,
        ))
    })
}

/// A refusal in the daemon's stead, before anything was sent.
pub(crate) fn refused(
    launch: &LaunchRef,
    code: Code,
    reason: &str,
    message: &str,
    gpa: Gpa,
) -> StagepagesError {
    let metadata = [
        ("launch", launch.name().to_owned()),
        ("gpa", gpa.to_string()),
        ("installed_pages", "0".to_owned()),
    ];
    StagepagesError::refused_here(
        code,
        reason,
        format!("{message}; nothing was sent"),
        metadata,
    )
}

/// The first address of `extent` outside the region that it begins in; `None` if it lies inside. A region that follows without a gap
/// is another one.
fn first_outside(regions: &[MemoryRegion], extent: Pages) -> Option<Gpa> {
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
    fn a_misplaced_extent_is_refused_with_the_daemons_reason() {
        let regions = [MemoryRegion {
            gpa: 0,
            size: 0x3000,
        }];
        for (gpa, count, reason) in [
            (0x1001, 1, Some(reason::INVALID_EXTENT)),
            (0x1000, u64::MAX, Some(reason::INVALID_EXTENT)),
            (0x1000, 3, Some(reason::OUTSIDE_MEMORY)),
            (0x1000, 2, None),
        ] {
            let extent = Pages {
                gpa: Gpa::new(gpa),
                count,
            };
            let refused = check(&LaunchRef::from("vm"), &regions, extent).err();
            assert_eq!(
                refused.as_ref().and_then(StagepagesError::reason),
                reason,
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
