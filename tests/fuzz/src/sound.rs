//! What holds of every plan and of every error, whatever the image claims.

use stagepages_client::{
    diff::{self, Sequence},
    image::{ImageError, Input},
    plan::{Contents, Extent, Finding, Plan, Severity},
    v1::Platform,
};

/// Pages that are hashed here: beyond, one input would take the time of thousands.
const HASHED: u64 = 512;

/// What a loader may make of its own beside what it copies: parameter areas of an IGVM file, 16 MiB at most; page tables, boot parameters.
const OWN: u64 = 20 << 20;

/// An error is of use: it names a structure, what is wrong with it, and the image. Its offset may be one that the file claims and does not have.
pub(crate) fn error(error: &ImageError) {
    assert!(
        !error.structure.is_empty() && !error.problem.is_empty(),
        "{error:?}"
    );
    assert!(!error.image.is_empty(), "{error:?}");
}

/// A plan is no larger than its files explain, and what it says of itself is so.
pub(crate) fn plan(plan: &Plan, input: &Input, others: u64) {
    let given = input.bytes.len() as u64 + others;
    let copied: u64 = plan.extents.iter().map(|it| copied(it, input)).sum();
    assert!(
        copied <= 10 * given + OWN,
        "{copied:#x} bytes copied of {given:#x}"
    );
    let extents = plan.extents.len() as u64;
    assert!(
        extents <= given / 4 + 1024,
        "{extents} extents of {given:#x} bytes"
    );

    let findings = plan.check();
    if findings.iter().all(|it| it.severity != Severity::Error) {
        is_stageable(plan, &findings);
    }
    if plan.pages() > HASHED {
        return;
    }
    if let Ok(sequence) = Sequence::of_plan(plan) {
        assert_eq!(sequence.pages(), plan.pages());
        let same = diff::compare(&sequence, &sequence, plan.platform);
        assert!(same.is_identical(), "{same:?}");
    }
}

fn copied(extent: &Extent, input: &Input) -> u64 {
    match extent.contents() {
        Contents::Bytes(bytes) if input.bytes.as_ptr_range().contains(&bytes.as_ptr()) => 0,
        Contents::Bytes(bytes) => bytes.len() as u64,
        Contents::File(_) | Contents::Zeros => 0,
    }
}

/// Of a plan that no check objects to: pages lie in memory and apart from each other, and there is a digest wherever one is measured.
fn is_stageable(plan: &Plan, findings: &[Finding]) {
    let mut spans: Vec<(u64, u64)> = plan
        .extents
        .iter()
        .map(|it| (it.gpa().bytes(), it.end().bytes()))
        .collect();
    spans.sort_unstable();
    let is_apart = spans.windows(2).all(|pair| pair[0].1 <= pair[1].0);
    assert!(is_apart, "extents overlap: {findings:?}");
    let mut memory: Vec<(u64, u64)> = plan
        .memory
        .iter()
        .map(|it| (it.gpa.bytes(), it.gpa.bytes().saturating_add(it.size)))
        .collect();
    memory.sort_unstable();
    for (start, end) in spans {
        assert!(start.is_multiple_of(4096), "{start:#x}");
        let behind = memory.iter().fold(
            start,
            |at, (from, to)| if *from <= at { at.max(*to) } else { at },
        );
        assert!(
            behind >= end,
            "{start:#x} to {end:#x} is no memory: {findings:?}"
        );
    }
    let is_measured = plan.platform != Platform::Kvm;
    if plan.pages() <= HASHED {
        let digest = plan.digest();
        assert_eq!(
            digest.map(|it| it.is_some()).ok(),
            Some(is_measured),
            "{findings:?}"
        );
    }
}
