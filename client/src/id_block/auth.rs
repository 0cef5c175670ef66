//! The ID authentication information: the signatures and public keys beside an ID block.
//!
//! **Invariant:** bytes of another length, or with anything in a reserved place, are none; signatures are judged elsewhere.

use super::{
    ecdsa::{PublicKey, Signature},
    read::Fields,
};
use crate::image::ImageError;

/// Bytes of the ID authentication information: a page.
pub const AUTH_BYTES: usize = 4096;

/// The number of ECDSA with P-384 and SHA-384, the only algorithm that there is (AMD 56860, "Digital Signatures").
pub const ECDSA_P384_SHA384: u32 = 1;

/// What it is called in messages.
pub(super) const STRUCTURE: &str = "ID authentication information";

/// ID authentication information (AMD 56860, table "ID Authentication Information Structure").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdAuth {
    /// The algorithm of the ID key: [`ECDSA_P384_SHA384`].
    pub id_key_algorithm: u32,
    /// The algorithm of the author key, likewise; 0 where there is none.
    pub author_key_algorithm: u32,
    /// By the ID key, of the 96 bytes of the ID block.
    pub block_signature: Signature,
    /// The key that signed the block.
    pub id_key: PublicKey,
    /// By the author key, of the 1028 bytes of the ID key; zeros where there is none.
    pub id_key_signature: Signature,
    /// The key that signed the ID key; zeros where there is none.
    pub author_key: PublicKey,
}

impl IdAuth {
    /// Where the algorithm of the author key is, in bytes.
    pub(super) const AUTHOR_ALGORITHM_AT: u64 = 0x4;
    /// Where the block's signature is, in bytes.
    pub(super) const BLOCK_SIGNATURE_AT: u64 = 0x40;
    /// Where the ID key is, in bytes.
    pub(super) const ID_KEY_AT: u64 = 0x240;
    /// Where the ID key's signature is, in bytes.
    pub(super) const ID_KEY_SIGNATURE_AT: u64 = 0x680;
    /// Where the author key is, in bytes.
    pub(super) const AUTHOR_KEY_AT: u64 = 0x880;

    /// Reads it.
    ///
    /// # Errors
    /// There are not 4096 bytes, or one that is reserved is not zero.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let mut fields = Fields::new(STRUCTURE, bytes, AUTH_BYTES)?;
        let id_key_algorithm = fields.u32()?;
        let author_key_algorithm = fields.u32()?;
        fields.reserved::<0x38>()?;
        let block_signature = Signature::parse(&mut fields)?;
        let id_key = PublicKey::parse(&mut fields)?;
        fields.reserved::<0x3c>()?;
        let id_key_signature = Signature::parse(&mut fields)?;
        let author_key = PublicKey::parse(&mut fields)?;
        fields.reserved::<0x37c>()?;
        Ok(Self {
            id_key_algorithm,
            author_key_algorithm,
            block_signature,
            id_key,
            id_key_signature,
            author_key,
        })
    }

    /// As firmware takes it: 4096 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [
            &self.id_key_algorithm.to_le_bytes()[..],
            &self.author_key_algorithm.to_le_bytes(),
            &[0; 0x38],
            &self.block_signature.to_bytes(),
            &self.id_key.to_bytes(),
            &[0; 0x3c],
            &self.id_key_signature.to_bytes(),
            &self.author_key.to_bytes(),
        ]
        .concat();
        bytes.resize(AUTH_BYTES, 0);
        bytes
    }

    /// Whether an author key is in it, or anything else where one would be.
    #[must_use]
    pub fn has_author_key(&self) -> bool {
        self.author_key_algorithm != 0
            || self.author_key != PublicKey::default()
            || self.id_key_signature != Signature::default()
    }
}
