//! What the plan must end in: the digest that the image names, and the ID block, which firmware compares when the launch finishes. A wrong one costs the
//! launch, so it is compared here before.
//!
//! **Invariant:** says everything that firmware would refuse of it.

use super::Found;
use crate::{
    id_block::{AUTH_BYTES, BLOCK_BYTES, SignedId},
    plan::{Finding, Plan, Severity::Error},
    v1::Platform,
};

pub(super) fn check(plan: &Plan, found: &mut Found) {
    // A plan whose digest cannot be computed says why elsewhere.
    if plan.expected_digest.is_some()
        && let Ok(digest) = plan.digest()
        && let Some(finding) = plan.unexpected(digest)
    {
        found.add(finding);
    }
    let Some(finish) = plan.finish.as_ref().filter(|it| !it.id_block.is_empty()) else {
        return;
    };
    if finish.id_auth.len() != AUTH_BYTES {
        let text = format!(
            "the ID authentication information has {:#x} bytes; an ID block needs all {AUTH_BYTES:#x} of it",
            finish.id_auth.len()
        );
        found.add(Finding::new(Error, "ID_AUTH", text));
    }
    let block = finish.id_block.as_ref();
    let (Some((digest, _)), Some((_, policy_bytes)), BLOCK_BYTES) = (
        block.split_first_chunk::<48>(),
        block.split_last_chunk::<8>(),
        block.len(),
    ) else {
        let text = format!(
            "the ID block has {:#x} bytes, not {BLOCK_BYTES:#x}",
            block.len()
        );
        found.add(Finding::new(Error, "ID_BLOCK_LENGTH", text));
        return;
    };
    let signed = u64::from_le_bytes(*policy_bytes);
    if signed != plan.guest_policy() {
        let text = format!(
            "the ID block was signed for the guest policy {signed:#x}, and the launch has {:#x}; give --snp-policy {signed:#x}, or another block",
            plan.guest_policy()
        );
        found.add(Finding::new(Error, "ID_BLOCK_POLICY", text));
    }
    if plan.platform == Platform::SevSnp
        && let Ok(Some(planned)) = plan.digest()
        && planned != *digest
    {
        let text = "the ID block was signed for another launch digest than this plan ends in, and firmware compares them: plan with the vCPUs and settings it was made for, or leave it out and sign a new one";
        found.add(Finding::new(Error, "ID_BLOCK_DIGEST", text));
    }
    // Of another length: told above.
    if finish.id_auth.len() != AUTH_BYTES {
        return;
    }
    let problems = match SignedId::parse(block, &finish.id_auth) {
        Ok(signed) => signed.problems(finish.author_key),
        Err(problem) => vec![problem],
    };
    for problem in problems {
        found.add(Finding::new(
            Error,
            "ID_BLOCK_SIGNATURE",
            problem.to_string(),
        ));
    }
}
