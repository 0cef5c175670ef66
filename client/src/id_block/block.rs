//! The ID block: what a guest's owner wants a launch to be.
//!
//! **Invariant:** bytes that are not exactly an ID block are none; its values are judged elsewhere.

use super::read::Fields;
use crate::image::ImageError;

/// Bytes of an ID block.
pub const BLOCK_BYTES: usize = 96;

/// The only version of its format that there is.
pub const VERSION: u32 = 1;

/// An ID block (AMD 56860, table "Structure of the ID Block").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdBlock {
    /// The launch digest that firmware must have come to.
    pub launch_digest: [u8; 48],
    /// The owner's own, for attestation reports.
    pub family_id: [u8; 16],
    /// The owner's own, for attestation reports.
    pub image_id: [u8; 16],
    /// The format's version: [`VERSION`].
    pub version: u32,
    /// The guest's security version number, for attestation reports.
    pub guest_svn: u32,
    /// The guest policy that the launch must have.
    pub policy: u64,
}

impl IdBlock {
    /// Where the version is, in bytes.
    pub(super) const VERSION_AT: u64 = 0x50;
    /// Where the policy is, in bytes.
    pub(super) const POLICY_AT: u64 = 0x58;

    /// Reads one.
    ///
    /// # Errors
    /// There are not 96 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let mut fields = Fields::new("ID block", bytes, BLOCK_BYTES)?;
        Ok(Self {
            launch_digest: fields.bytes()?,
            family_id: fields.bytes()?,
            image_id: fields.bytes()?,
            version: fields.u32()?,
            guest_svn: fields.u32()?,
            policy: fields.u64()?,
        })
    }

    /// As firmware takes it: 96 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [
            &self.launch_digest[..],
            &self.family_id,
            &self.image_id,
            &self.version.to_le_bytes(),
            &self.guest_svn.to_le_bytes(),
            &self.policy.to_le_bytes(),
        ]
        .concat()
    }
}
