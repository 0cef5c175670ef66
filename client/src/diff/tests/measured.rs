//! What counts as the first difference, by what a platform measures.

use super::pages::plan;
use crate::{
    addr::Gpa,
    diff::{Comparison, Sequence, Why, compare},
    plan::{Contents, Extent},
    v1::{PageType, Platform},
};

fn page(gpa: u64, page_type: PageType, fill: u8) -> Extent {
    let bytes = Contents::Bytes(vec![fill; 4096].into());
    Extent::new(Gpa::new(gpa), page_type, bytes, "x").unwrap()
}

fn compared(planned: Vec<Extent>, installed: Vec<Extent>, platform: Platform) -> Comparison {
    let sequence = |extents| Sequence::of_plan(&plan(extents)).unwrap();
    compare(&sequence(planned), &sequence(installed), platform)
}

/// Two images whose pages of this type hold other bytes.
fn only(page_type: PageType, platform: Platform) -> Comparison {
    let image = |fill| {
        vec![
            page(0, PageType::Normal, 7),
            page(0x1000, page_type, fill),
            page(0x2000, PageType::Normal, 7),
        ]
    };
    compared(image(1), image(2), platform)
}

#[test]
fn contents_that_are_not_measured_are_no_place_where_a_digest_parts() {
    for (platform, page_type) in [
        (Platform::SevSnp, PageType::Unmeasured),
        (Platform::SevSnp, PageType::Cpuid),
        (Platform::Sim, PageType::Unmeasured),
        (Platform::Sim, PageType::Cpuid),
        (Platform::Tdx, PageType::Unmeasured),
    ] {
        let told = only(page_type, platform);
        assert!(told.has_measured() && !told.is_identical() && !told.is_prefix());
        let totals = (told.totals.contents.pages, told.totals.unmeasured.pages);
        assert_eq!(totals, (0, 1), "{platform:?} {page_type:?}");
        let first = told.first_unmeasured.unwrap();
        assert_eq!((first.ordinal, first.why), (1, Why::Contents));
        assert_eq!(first.installed.page.unwrap().gpa, Gpa::new(0x1000));
    }
}

#[test]
fn all_contents_count_where_nothing_is_measured_and_those_of_normal_pages_everywhere() {
    for (platform, page_type) in [
        (Platform::Kvm, PageType::Unmeasured),
        (Platform::Unspecified, PageType::Cpuid),
        (Platform::SevSnp, PageType::Normal),
        (Platform::Sim, PageType::Normal),
        (Platform::Tdx, PageType::Normal),
        (Platform::Kvm, PageType::Normal),
    ] {
        let told = only(page_type, platform);
        assert_eq!(told.first.unwrap().ordinal, 1, "{platform:?} {page_type:?}");
        assert_eq!(told.first_unmeasured, None);
        let totals = (told.totals.contents.pages, told.totals.unmeasured.pages);
        assert_eq!(totals, (1, 0), "{platform:?} {page_type:?}");
    }
}

#[test]
fn a_measured_page_behind_unmeasured_ones_is_the_first() {
    let image = |fill| {
        vec![
            page(0x1000, PageType::Cpuid, fill),
            page(0x2000, PageType::Unmeasured, fill),
            page(0x3000, PageType::Normal, fill),
        ]
    };
    let told = compared(image(1), image(2), Platform::SevSnp);
    let first = told.first.as_ref().unwrap();
    assert_eq!((first.ordinal, first.why), (2, Why::Contents));
    assert_eq!(told.first_unmeasured.as_ref().unwrap().ordinal, 0);
    let totals = (told.totals.contents.pages, told.totals.unmeasured.pages);
    assert_eq!(totals, (1, 2));
}

#[test]
fn types_and_order_count_also_of_pages_whose_contents_do_not() {
    let one = || page(0x1000, PageType::Cpuid, 1);
    let other = || page(0x2000, PageType::Unmeasured, 1);
    let swapped = compared(vec![one(), other()], vec![other(), one()], Platform::SevSnp);
    let order = Why::Order {
        installed_at: 1,
        planned_at: 1,
    };
    assert_eq!(swapped.first.unwrap().why, order);
    let retyped = vec![page(0x1000, PageType::Unmeasured, 1)];
    let retyped = compared(vec![one()], retyped, Platform::SevSnp);
    assert_eq!(retyped.first.unwrap().why, Why::Type);
}

#[test]
fn a_launch_with_other_unmeasured_contents_so_far_is_no_prefix() {
    let image = vec![
        page(0x1000, PageType::Cpuid, 1),
        page(0x2000, PageType::Normal, 1),
    ];
    let so_far = |fill| vec![page(0x1000, PageType::Cpuid, fill)];
    assert!(compared(image.clone(), so_far(1), Platform::SevSnp).is_prefix());
    let told = compared(image, so_far(2), Platform::SevSnp);
    assert!(!told.is_prefix() && !told.has_measured());
}
