//! What the tests of loaders share.

use crate::{
    image::Input,
    plan::{Contents, Plan},
};

/// An image of these bytes.
pub(super) fn input(bytes: impl Into<bytes::Bytes>) -> Input {
    Input {
        name: "test.img".to_owned(),
        bytes: bytes.into(),
    }
}

/// Writes into a file that is made by a test.
pub(super) fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Every page is in the guest's memory, and in one extent.
pub(super) fn assert_sound(plan: &Plan) {
    let mut spans: Vec<_> = plan.extents.iter().map(|it| (it.gpa(), it.end())).collect();
    spans.sort_unstable();
    assert!(
        spans.windows(2).all(|pair| pair[0].1 <= pair[1].0),
        "{plan:?}"
    );
    for (start, end) in spans {
        assert_eq!(start.bytes() % 4096, 0);
        let mut at = start.bytes();
        for region in &plan.memory {
            if region.gpa.bytes() <= at {
                at = at.max(region.gpa.bytes() + region.size);
            }
        }
        assert!(
            at >= end.bytes(),
            "{start} to {end} is not memory: {plan:?}"
        );
    }
}

/// Bytes that a plan holds in memory.
pub(super) fn held(plan: &Plan) -> u64 {
    let extents = plan.extents.iter();
    extents
        .map(|it| match it.contents() {
            Contents::Bytes(bytes) => bytes.len() as u64,
            Contents::File(_) | Contents::Zeros => 0,
        })
        .sum()
}
