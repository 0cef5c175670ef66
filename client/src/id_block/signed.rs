//! An ID block with its ID authentication information: signed, or read and judged.
//!
//! **Invariant:** no reason that firmware has to refuse it is kept silent, as far as it can be known without the launch.

use std::io;

use super::{
    auth::{ECDSA_P384_SHA384, IdAuth, STRUCTURE},
    block::{IdBlock, VERSION},
    ecdsa::{PublicKey, Signature},
    key::Key,
};
use crate::{hex::digits, image::ImageError, plan::Plan};

/// Bit 17 of a guest policy, which must be one.
const MUST_BE_ONE: u64 = 1 << 17;

/// Both halves of what SNP_LAUNCH_FINISH is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedId {
    /// What is signed.
    pub block: IdBlock,
    /// By whom.
    pub auth: IdAuth,
}

impl SignedId {
    /// Signs a block with the ID key, and the ID key with the author key, if there is one. The same block and keys give the same bytes.
    #[must_use]
    pub fn sign(block: IdBlock, id_key: &Key, author_key: Option<&Key>) -> Self {
        let id_public = PublicKey::of(id_key);
        let of_key = |author: &Key| Signature::of(&id_public.to_bytes(), author);
        let auth = IdAuth {
            id_key_algorithm: ECDSA_P384_SHA384,
            author_key_algorithm: author_key.map_or(0, |_| ECDSA_P384_SHA384),
            block_signature: Signature::of(&block.to_bytes(), id_key),
            id_key_signature: author_key.map(of_key).unwrap_or_default(),
            author_key: author_key.map(PublicKey::of).unwrap_or_default(),
            id_key: id_public,
        };
        Self { block, auth }
    }

    /// Reads both.
    ///
    /// # Errors
    /// One has another length than it must, or something in a reserved place.
    pub fn parse(block: &[u8], auth: &[u8]) -> Result<Self, ImageError> {
        Ok(Self {
            block: IdBlock::parse(block)?,
            auth: IdAuth::parse(auth)?,
        })
    }

    /// SHA-384 of the ID key, as attestation reports have it.
    #[must_use]
    pub fn id_key_digest(&self) -> [u8; 48] {
        self.auth.id_key.digest()
    }

    /// SHA-384 of the author key, as attestation reports have it; `None` without one.
    #[must_use]
    pub fn author_key_digest(&self) -> Option<[u8; 48]> {
        let auth = &self.auth;
        auth.has_author_key().then(|| auth.author_key.digest())
    }

    /// Why firmware would refuse it for any launch; nothing if it would not. The author key is judged where firmware is told to check it.
    #[must_use]
    pub fn problems(&self, checks_author_key: bool) -> Vec<ImageError> {
        let auth = &self.auth;
        let mut problems = self.block_problems();
        problems.extend(algorithm(auth.id_key_algorithm, 0, "ID key"));
        problems.extend(signed(
            &self.block.to_bytes(),
            (
                "ID block",
                &auth.block_signature,
                IdAuth::BLOCK_SIGNATURE_AT,
            ),
            ("ID key", &auth.id_key, IdAuth::ID_KEY_AT),
        ));
        if !checks_author_key {
            return problems;
        }
        if !auth.has_author_key() {
            let problem = "has no author key, and firmware is to check one; sign with --author-key, or do not ask for the check";
            problems.push(ImageError::at(STRUCTURE, IdAuth::AUTHOR_KEY_AT, problem));
            return problems;
        }
        problems.extend(algorithm(
            auth.author_key_algorithm,
            IdAuth::AUTHOR_ALGORITHM_AT,
            "author key",
        ));
        problems.extend(signed(
            &auth.id_key.to_bytes(),
            (
                "ID key",
                &auth.id_key_signature,
                IdAuth::ID_KEY_SIGNATURE_AT,
            ),
            ("author key", &auth.author_key, IdAuth::AUTHOR_KEY_AT),
        ));
        problems
    }

    fn block_problems(&self) -> Vec<ImageError> {
        let block = &self.block;
        let mut problems = Vec::new();
        if block.version != VERSION {
            let problem = format!(
                "the version is {:#x}, where firmware takes {VERSION:#x} only; make the block anew with `stagectl id-block create`",
                block.version
            );
            problems.push(ImageError::at("ID block", IdBlock::VERSION_AT, problem));
        }
        if block.policy & MUST_BE_ONE == 0 {
            let problem = format!(
                "the policy {:#x} lacks bit 17, which is one in every launch's; sign the policy that the launch is created with",
                block.policy
            );
            problems.push(ImageError::at("ID block", IdBlock::POLICY_AT, problem));
        }
        problems
    }

    /// Why firmware would refuse it for a launch that comes to this digest and has this policy, of which either may be unknown.
    #[must_use]
    pub fn disagreements(&self, digest: Option<&[u8]>, policy: Option<u64>) -> Vec<ImageError> {
        let block = &self.block;
        let mut found = Vec::new();
        if let Some(digest) = digest.filter(|it| **it != block.launch_digest) {
            let problem = format!(
                "the launch digest is {}, where the launch comes to {}; `stagectl diff` names the page, or sign this digest",
                digits(&block.launch_digest),
                digits(digest)
            );
            found.push(ImageError::at("ID block", 0, problem));
        }
        if let Some(policy) = policy.filter(|it| *it != block.policy) {
            let problem = format!(
                "the policy is {:#x}, where the launch has {policy:#x}; create the launch with the signed policy, or sign this one",
                block.policy
            );
            found.push(ImageError::at("ID block", IdBlock::POLICY_AT, problem));
        }
        found
    }

    /// The same for a launch that stages this plan.
    ///
    /// # Errors
    /// A file of the plan could not be read.
    pub fn disagreements_with(&self, plan: &Plan) -> io::Result<Vec<ImageError>> {
        let digest = plan.digest()?;
        Ok(self.disagreements(digest.as_ref().map(|it| &it[..]), Some(plan.guest_policy())))
    }
}

/// What is wrong with an algorithm's number.
fn algorithm(number: u32, at: u64, of: &str) -> Option<ImageError> {
    (number != ECDSA_P384_SHA384).then(|| {
        let problem = format!(
            "the algorithm of the {of} is {number:#x}, where firmware takes {ECDSA_P384_SHA384:#x} (ECDSA P-384 with SHA-384) only; \
             make the file anew with `stagectl id-block create`"
        );
        ImageError::at(STRUCTURE, at, problem)
    })
}

/// What is wrong with a signature of `message`, or with the key that is said to have made it.
fn signed(
    message: &[u8],
    (what, signature, signature_at): (&str, &Signature, u64),
    (by, key, key_at): (&str, &PublicKey, u64),
) -> Option<ImageError> {
    if let Some(problem) = key.problem() {
        return Some(ImageError::at(
            STRUCTURE,
            key_at,
            format!("the {by} {problem}"),
        ));
    }
    let problem = format!(
        "the signature is not of this {what} by the {by}, and firmware would answer BAD_SIGNATURE; \
         give the two files that were made together, or make them anew with `stagectl id-block create`"
    );
    let is_good = key.verifies(message, signature);
    (!is_good).then(|| ImageError::at(STRUCTURE, signature_at, problem))
}
