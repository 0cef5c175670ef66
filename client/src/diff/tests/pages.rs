//! What is said of ledgers and plans that differ in one way.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    InstalledPages,
    addr::{Gpa, PAGE_BYTES},
    diff::{Comparison, LISTED, Sequence, SequenceError, Why, compare},
    plan::{Contents, Extent, Plan},
    v1::{self, PageType, Platform},
};

/// A plan of these extents.
pub(super) fn plan(extents: Vec<Extent>) -> Plan {
    Plan {
        platform: Platform::Sim,
        format: "made here".into(),
        memory: Vec::new(),
        extents,
        vcpus: Vec::new(),
        sev_snp: None,
        tdx: None,
        finish: None,
        expected_digest: None,
        findings: Vec::new(),
    }
}

fn bytes(pages: u64) -> Vec<u8> {
    (0..pages * PAGE_BYTES / 8)
        .flat_map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect()
}

fn data(gpa: u64, bytes: Vec<u8>) -> Extent {
    Extent::new(
        Gpa::new(gpa),
        PageType::Normal,
        Contents::Bytes(bytes.into()),
        "firmware",
    )
    .unwrap()
}

fn run_of(extent: &Extent, first_ordinal: u64) -> v1::InstalledRun {
    let mut hashes = Vec::new();
    extent
        .each_page(|_, page| hashes.extend(blake3::hash(page.unwrap_or(&[0; 4096])).as_bytes()))
        .unwrap();
    let uniform = matches!(extent.contents(), Contents::Zeros);
    if uniform {
        hashes.truncate(32);
    }
    let withheld = matches!(extent.page_type(), PageType::Secrets | PageType::Unmeasured);
    v1::InstalledRun {
        gpa: extent.gpa().bytes(),
        pages: extent.pages(),
        page_type: extent.page_type().into(),
        first_ordinal,
        page_hashes: if withheld {
            Bytes::new()
        } else {
            hashes.into()
        },
        uniform: uniform && !withheld,
    }
}

/// The ledger of a launch that staged these.
fn ledger(extents: &[Extent]) -> InstalledPages {
    let mut ledger = InstalledPages::default();
    for extent in extents {
        ledger.runs.push(run_of(extent, ledger.installed_pages));
        ledger.installed_pages += extent.pages();
    }
    ledger
}

fn compared(planned: Vec<Extent>, installed: &[Extent]) -> Comparison {
    let planned = Sequence::of_plan(&plan(planned)).unwrap();
    let installed = Sequence::of_ledger(&ledger(installed)).unwrap();
    compare(&planned, &installed, Platform::Sim)
}

#[test]
fn what_was_staged_as_planned_is_identical_and_says_what_it_could_not_compare() {
    let zeros = |gpa, page_type| Extent::zeros(Gpa::new(gpa), page_type, 2, "x").unwrap();
    let unmeasured = Extent::new(
        Gpa::new(0x9000),
        PageType::Unmeasured,
        Contents::Bytes(bytes(3).into()),
        "u",
    )
    .unwrap();
    let extents = vec![
        data(0x10_0000, bytes(5)),
        zeros(0x1000, PageType::Zero),
        unmeasured,
        zeros(0x5000, PageType::Secrets),
        zeros(0x7000, PageType::Normal),
    ];
    let comparison = compared(extents.clone(), &extents);
    assert!(comparison.is_identical() && !comparison.is_prefix());
    assert_eq!(
        (comparison.planned_pages, comparison.installed_pages),
        (14, 14)
    );
    assert_eq!(
        comparison.totals.unknown.pages, 5,
        "3 UNMEASURED and 2 SECRETS"
    );
}

#[test]
fn one_flipped_byte_in_4_mib_names_that_page_and_its_neighbours() {
    let good = bytes(1024);
    let mut bad = good.clone();
    bad[700 * 4096 + 17] ^= 1;
    let comparison = compared(
        vec![data(0xffc0_0000, good.clone())],
        &[data(0xffc0_0000, bad.clone())],
    );
    let first = comparison.first.unwrap();
    assert_eq!((first.ordinal, first.why), (700, Why::Contents));
    let planned = first.planned.page.unwrap();
    assert_eq!(
        (planned.gpa, &*planned.name),
        (Gpa::new(0xffc0_0000 + 700 * 4096), "firmware")
    );
    let at = |image: &[u8]| Some(blake3::hash(&image[700 * 4096..701 * 4096]).into());
    assert_eq!(
        (planned.hash, first.installed.page.unwrap().hash),
        (at(&good), at(&bad))
    );
    let neighbours = [
        first.planned.before,
        first.planned.after,
        first.installed.before,
        first.installed.after,
    ];
    assert_eq!(
        neighbours.map(|page| page.unwrap().ordinal),
        [699, 701, 699, 701]
    );
    assert_eq!(
        (
            comparison.totals.contents.pages,
            comparison.totals.contents.ranges
        ),
        (1, 1)
    );
    assert_eq!(comparison.totals.moved.pages, 0);
}

#[test]
fn two_pages_that_changed_places_name_the_first() {
    let each = |order: [u64; 4]| order.map(|nth| data(nth * 4096, bytes(nth + 1)[..4096].to_vec()));
    let comparison = compared(each([0, 1, 2, 3]).into(), &each([0, 2, 1, 3]));
    let first = comparison.first.unwrap();
    let order = Why::Order {
        installed_at: 2,
        planned_at: 2,
    };
    assert_eq!((first.ordinal, first.why), (1, order));
    assert_eq!(first.planned.page.unwrap().gpa, Gpa::new(0x1000));
    assert_eq!(first.installed.page.unwrap().gpa, Gpa::new(0x2000));
    assert_eq!(comparison.totals.moved.pages, 1);
}

#[test]
fn a_launch_that_is_still_being_staged_is_a_prefix() {
    let image = bytes(8);
    let part = image[..5 * 4096].to_vec();
    let comparison = compared(vec![data(0, image)], &[data(0, part)]);
    assert!(comparison.is_prefix() && !comparison.is_identical());
    assert_eq!(
        (
            comparison.first.unwrap().ordinal,
            comparison.totals.missing.pages
        ),
        (5, 3)
    );
    let nothing = compared(vec![data(0, bytes(1))], &[]);
    assert!(nothing.is_prefix());
    assert!(compared(Vec::new(), &[]).is_identical());
}

#[test]
fn each_kind_of_divergence_has_its_reason() {
    let at = |gpa| data(gpa, bytes(1));
    let zero = |page_type| Extent::zeros(Gpa::new(0), page_type, 1, "z").unwrap();
    let why = |planned: &[Extent], installed: &[Extent]| {
        compared(planned.to_vec(), installed).first.unwrap().why
    };
    assert_eq!(
        why(&[zero(PageType::Normal)], &[zero(PageType::Zero)]),
        Why::Type
    );
    assert_eq!(
        why(&[at(0), at(0x1000)], &[at(0x1000)]),
        Why::Missing {
            planned_at: Some(1)
        }
    );
    assert_eq!(
        why(&[at(0)], &[at(0x1000), at(0)]),
        Why::Extra {
            installed_at: Some(1)
        }
    );
    assert_eq!(
        why(&[at(0)], &[at(0), at(0x1000)]),
        Why::Extra { installed_at: None }
    );
    assert_eq!(why(&[at(0)], &[at(0x1000)]), Why::Replaced);
    let again = Why::Repeated {
        first_at: 0,
        in_plan: true,
    };
    assert_eq!(why(&[at(0), at(0)], &[at(0)]), again, "and no prefix");
}

#[test]
fn lists_are_bounded_and_everything_is_counted() {
    let pages = 2 * LISTED as u64 + 5;
    let every_other: Vec<_> = (0..pages)
        .map(|nth| data(nth * 2 * 4096, vec![1]))
        .collect();
    let comparison = compared(Vec::new(), &every_other);
    let extra = &comparison.totals.extra;
    assert_eq!(
        (extra.pages, extra.ranges, extra.listed.len()),
        (pages, pages, LISTED)
    );
    let mut runs = every_other;
    runs.push(data((2 * pages - 1) * 4096, vec![1]));
    let longer = compared(Vec::new(), &runs).totals.extra;
    assert_eq!(
        (longer.pages, longer.ranges),
        (pages + 1, pages),
        "it continues the last range, which is not listed"
    );
}

#[test]
fn claims_of_an_image_cost_nothing() {
    let huge = |page_type| Extent::zeros(Gpa::new(0), page_type, 1 << 51, "claim").unwrap();
    let sequence = |extents| Sequence::of_plan(&plan(extents)).unwrap();
    let comparison = compare(
        &sequence(vec![huge(PageType::Zero)]),
        &sequence(vec![huge(PageType::Normal)]),
        Platform::Sim,
    );
    assert_eq!(
        (
            comparison.totals.retyped.pages,
            comparison.totals.retyped.ranges
        ),
        (1 << 51, 1)
    );
    assert!(
        compare(
            &sequence(vec![huge(PageType::Zero)]),
            &sequence(vec![huge(PageType::Zero)]),
            Platform::Sim,
        )
        .is_identical()
    );
    let many = vec![huge(PageType::Zero); 1 << 13];
    assert!(matches!(
        Sequence::of_plan(&plan(many)),
        Err(SequenceError::TooMany)
    ));
}

#[test]
fn an_unaligned_extent_and_a_file_that_shrank_are_errors_that_name_them() {
    let crooked = data(0x1001, bytes(1));
    let told = Sequence::of_plan(&plan(vec![crooked]))
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("`firmware`") && told.contains("0x1001"),
        "{told}"
    );
    let empty = crate::plan::FileSlice::new(Arc::new(tempfile::tempfile().unwrap()), 0, 1);
    let gone = Extent::new(
        Gpa::new(0),
        PageType::Normal,
        Contents::File(empty),
        "kernel",
    )
    .unwrap();
    let told = Sequence::of_plan(&plan(vec![gone]))
        .unwrap_err()
        .to_string();
    assert!(told.contains("`kernel`"), "{told}");
}

type Spoil = fn(&mut v1::InstalledRun);

#[test]
fn a_ledger_that_cannot_be_is_refused() {
    let good = run_of(&data(0x1000, bytes(2)), 0);
    let bad: [(&str, Spoil); 8] = [
        ("no pages", |it| it.pages = 0),
        ("crooked", |it| it.gpa = 1),
        ("past the end", |it| it.gpa = u64::MAX - 0xfff),
        ("gap", |it| it.first_ordinal = 1),
        ("no type", |it| it.page_type = 0),
        ("a type of tomorrow", |it| it.page_type = 99),
        ("too few hashes", |it| it.pages = 3),
        ("two for all", |it| it.uniform = true),
    ];
    for (what, spoil) in bad {
        let mut run = good.clone();
        spoil(&mut run);
        let ledger = InstalledPages {
            runs: vec![run],
            installed_pages: 2,
        };
        let told = Sequence::of_ledger(&ledger);
        assert!(
            matches!(told, Err(SequenceError::BadAnswer { .. })),
            "{what}: {told:?}"
        );
    }
    let good = InstalledPages {
        runs: vec![good],
        installed_pages: 2,
    };
    assert_eq!(Sequence::of_ledger(&good).unwrap().pages(), 2);
}
