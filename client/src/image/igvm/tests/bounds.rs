//! Small files that claim much: pages, and places that these lie in.

use igvm_defs::{IgvmPageDataFlags, IgvmPageDataType as Type};

use super::{
    made::{TDX, bytes, file, page, page_of, plan},
    refused::{refused, summed},
};
use crate::image::Options;

/// Where the header of the first page is, behind one of a platform.
const FIRST_PAGE: usize = 0x20 + 24;

/// `count` large pages without bytes, one behind the other.
fn large(count: u64) -> Vec<u8> {
    let flags = IgvmPageDataFlags::new().with_is_2mb_page(true);
    let pages = (0..count).map(|nth| page_of(TDX, nth << 21, Type::NORMAL, flags, &[]));
    bytes(&file(TDX, pages.collect()))
}

#[test]
fn a_small_file_does_not_claim_more_pages_than_can_be_measured() {
    let most = plan(large(8192), &Options::default()).unwrap();
    assert_eq!(most.pages(), (16 << 30) / 4096);
    let zeros = large(8193);
    // All of one 2 MiB at its end.
    let mut data = zeros.clone();
    let end = u32::try_from(data.len()).unwrap();
    data.resize(data.len() + (2 << 20), 0xa5);
    let length = u32::try_from(data.len()).unwrap();
    data[16..20].copy_from_slice(&length.to_le_bytes());
    for header in data[FIRST_PAGE..end as usize].chunks_exact_mut(32) {
        header[20..24].copy_from_slice(&end.to_le_bytes());
    }
    for bytes in [zeros, summed(data)] {
        let error = refused(bytes);
        let last = FIRST_PAGE + 8192 * 32;
        assert_eq!(
            (error.structure.as_str(), error.offset),
            ("IGVM page data", Some(last as u64))
        );
        assert!(
            error.problem.contains(
                "with the 0x200000 bytes at GPA 0x400000000, pages are more than 16G in all"
            ),
            "{error}"
        );
    }
}

#[test]
fn pages_in_more_places_than_a_launch_has_regions_are_refused() {
    let apart = |count: u64| {
        // Backwards: what is told is the highest, and not the last.
        let pages = (0..count).rev().map(|nth| page(TDX, nth << 13, &[]));
        bytes(&file(TDX, pages.collect()))
    };
    let most = plan(apart(1024), &Options::default()).unwrap();
    assert_eq!(most.memory.len(), 1024);
    let error = refused(apart(1025));
    assert!(
        error
            .problem
            .starts_with("the bytes at GPA 0x800000 lie apart")
            && error.problem.contains("1025 regions")
            && error.offset == Some(FIRST_PAGE as u64),
        "{error}"
    );
    let options = Options {
        memory: vec!["0x0+64M".parse().unwrap()],
        ..Options::default()
    };
    assert_eq!(plan(apart(1025), &options).unwrap().pages(), 1025);
}
