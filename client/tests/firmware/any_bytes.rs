//! No image at all makes the loader panic, or plan more than its size explains.

use proptest::{collection::vec, prelude::*};
use stagepages_client::{
    image::{Options, ovmf},
    plan::Plan,
    v1::Platform,
};

use crate::image::{Image, PAGE, load, on};

const PLATFORMS: [Platform; 4] = [
    Platform::SevSnp,
    Platform::Tdx,
    Platform::Kvm,
    Platform::Unspecified,
];

/// Loads it for every platform, and checks each plan.
fn try_all(bytes: &[u8]) -> Vec<Plan> {
    let plans = PLATFORMS.iter().filter_map(|platform| {
        let options = Options {
            vcpus: Some(2),
            ..on(*platform)
        };
        match load(bytes.to_vec(), &options) {
            Ok(plan) => Some(plan),
            Err(error) => {
                assert!(!error.structure.is_empty() && !error.problem.is_empty());
                None
            }
        }
    });
    let plans: Vec<Plan> = plans.collect();
    let for_kvm = plans.iter().all(|plan| plan.platform == Platform::Kvm);
    assert!(for_kvm || ovmf::recognises(bytes));
    for plan in &plans {
        // The image, and 256 MiB and once more the image in sections.
        assert!(plan.pages() <= (256 << 8) + 2 * (bytes.len() / PAGE) as u64);
        let mut extents: Vec<_> = plan.extents.iter().map(|it| (it.gpa(), it.end())).collect();
        extents.sort();
        assert!(extents.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        let held = |from, to| {
            plan.memory
                .iter()
                .any(|it| it.gpa <= from && to <= it.gpa.plus_pages(it.size >> 12).unwrap())
        };
        assert!(extents.iter().all(|(from, to)| held(*from, *to)));
    }
    plans
}

fn both() -> Image {
    Image {
        tdx: Image::tdx().tdx,
        pages: 4,
        ..Image::sev()
    }
}

#[test]
fn an_image_cut_anywhere_is_refused_or_another_image() {
    let bytes = both().bytes();
    assert_eq!(try_all(&bytes).len(), 3);
    for end in 0..bytes.len() {
        // Its end is gone, and with it the table; what is left is whole pages at most for kvm.
        let plans = try_all(&bytes[..end]);
        assert!(
            plans.iter().all(|plan| plan.platform == Platform::Kvm),
            "{end}"
        );
    }
    for start in 1..bytes.len() {
        try_all(&bytes[start..]);
    }
}

#[test]
fn an_image_with_any_byte_of_its_structures_changed_is_refused_or_another_image() {
    let original = both().bytes();
    let from = original.len() - PAGE;
    for at in from..original.len() {
        for bit in 0..8 {
            let mut bytes = original.clone();
            bytes[at] ^= 1 << bit;
            try_all(&bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn many_bytes_changed_at_once(changes in vec((0..PAGE, prop_oneof![Just(0), Just(0xff), any::<u8>()]), 1..12)) {
        let mut bytes = both().bytes();
        let from = bytes.len() - PAGE;
        for (at, value) in changes {
            bytes[from + at] = value;
        }
        try_all(&bytes);
    }

    #[test]
    fn sections_of_any_numbers(sev in vec(any::<[u32; 3]>(), 0..40), tdx in vec((any::<[u32; 2]>(), any::<u64>(), any::<u64>(), 0..10_u32, 0..4_u32), 0..40)) {
        let mut image = both();
        // Whole pages, small kinds: what random numbers would never be.
        image.sev = Some(sev.into_iter().map(|[gpa, size, kind]| [gpa & !0xfff, size & 0x1_f000, kind % 6]).collect());
        image.tdx = Some(tdx.into_iter().map(|([at, bytes], gpa, size, kind, attributes)| {
            let bytes = if kind == 2 || kind == 3 || kind == 4 { 0 } else { bytes % 0x2000 };
            crate::image::TdxSection { data: [at % 0x2000, bytes], gpa: gpa & 0x1fff_f000, size: size & 0x1_f000, kind, attributes }
        }).collect());
        try_all(&image.bytes());
    }

    #[test]
    fn bytes_that_are_no_image(bytes in vec(any::<u8>(), 0..256)) {
        try_all(&bytes);
    }
}
