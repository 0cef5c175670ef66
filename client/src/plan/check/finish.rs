//! What the plan must end in: the digest that the image names, and the ID block, which firmware checks when the launch finishes. A wrong one costs the
//! launch, so it is judged here before, for images of every format.
//!
//! **Invariant:** says everything that firmware would refuse of it; hashes the pages once at most, and only where there is something to compare them with.

use stagepages_digest::Value;

use super::Found;
use crate::{
    hex::digits,
    id_block::{AUTH_BYTES, IdAuth, IdBlock, SignedId},
    plan::{Finding, Plan, Severity::Error},
    v1::{Platform, SevSnpFinish},
};

/// `is_measured`: whether the pages are worth hashing. Without, digests are not compared.
pub(super) fn check(plan: &Plan, is_measured: bool, found: &mut Found) {
    let signed = plan.finish.as_ref().filter(|it| !it.id_block.is_empty());
    let is_signed = signed.is_some() && plan.platform == Platform::SevSnp;
    let is_compared = is_measured && (is_signed || plan.expected_digest.is_some());
    // Where it cannot be computed, a file could not be read a moment after it could: who wants the digest is told.
    let digest = is_compared.then(|| plan.digest().ok()).flatten();
    found.extend(digest.and_then(|digest| plan.unexpected(digest)));
    if let Some(finish) = signed {
        id_block(plan, finish, digest.flatten().filter(|_| is_signed), found);
    }
}

fn id_block(plan: &Plan, finish: &SevSnpFinish, digest: Option<Value>, found: &mut Found) {
    let auth = &finish.id_auth;
    let is_whole = auth.len() == AUTH_BYTES;
    if !is_whole {
        let text = format!(
            "the ID authentication information has {:#x} bytes; an ID block needs all {AUTH_BYTES:#x} of it",
            auth.len()
        );
        found.add(Finding::new(Error, "ID_AUTH", text));
    }
    let block = match IdBlock::parse(&finish.id_block) {
        Ok(block) => block,
        Err(problem) => {
            found.add(Finding::new(Error, "ID_BLOCK_LENGTH", problem.to_string()));
            return;
        }
    };
    disagreements(plan, &block, digest, found);
    if !is_whole {
        return;
    }
    let problems = match IdAuth::parse(auth) {
        Ok(auth) => SignedId { block, auth }.problems(finish.author_key),
        Err(problem) => vec![problem],
    };
    let problems = { problems.iter() }.map(ToString::to_string);
    found.extend(problems.map(|text| Finding::new(Error, "ID_BLOCK_SIGNATURE", text)));
}

/// Whether it was signed for another launch than this one.
fn disagreements(plan: &Plan, block: &IdBlock, digest: Option<Value>, found: &mut Found) {
    let (signed, policy) = (block.policy, plan.guest_policy());
    if signed != policy {
        let text = format!(
            "the ID block was signed for the guest policy {signed:#x}, and the launch has {policy:#x}; give --snp-policy {signed:#x}, or another block"
        );
        found.add(Finding::new(Error, "ID_BLOCK_POLICY", text));
    }
    if let Some(planned) = digest.filter(|planned| *planned != block.launch_digest) {
        let text = format!(
            "the ID block was signed for the launch digest {}, and this plan ends in {}; firmware compares them: plan with the vCPUs and settings it was made for, or leave it out and sign a new one",
            digits(&block.launch_digest),
            digits(&planned)
        );
        found.add(Finding::new(Error, "ID_BLOCK_DIGEST", text));
    }
}
