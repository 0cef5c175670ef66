//! Which upload it is: whose, of which image, and by which writer.
//!
//! What is on record of an upload lies beside its bytes:
//!
//! ```text
//!  magic     a line of text
//!  size      8 bytes, little-endian: as declared
//!  image     32 bytes
//!  owner     one byte for its length, then the name
//!  id        the rest
//!  checksum  32 bytes: BLAKE3-256 over all of the above
//! ```
//!
//! **Invariant:** no name of a file is made from what came in, but for digits of a hash or of the bytes themselves.

use crate::{ImageDigest, StoreError, digest::hex};

const MAGIC: &[u8] = b"stagepages upload 1\n";

/// Longest name of an owner, in bytes. Its digits are a file's name, of which 255 are allowed.
const MAX_OWNER_BYTES: usize = 100;

/// Longest id of an upload, in characters.
const MAX_ID_CHARS: usize = 64;

/// Largest record of an upload, in bytes.
pub(crate) const MAX_RECORD_BYTES: u64 = 1024;

/// Whose an image is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner(String);

/// Which upload it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) owner: Owner,
    pub(crate) digest: ImageDigest,
    id: String,
}

impl Owner {
    pub(crate) fn new(name: &str) -> Result<Self, StoreError> {
        let found = name.len();
        if found == 0 || found > MAX_OWNER_BYTES || name.chars().any(char::is_control) {
            let max = MAX_OWNER_BYTES;
            return Err(StoreError::BadOwner { found, max });
        }
        Ok(Self(name.to_owned()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// The name of its directory.
    pub(crate) fn dir(&self) -> String {
        hex(self.0.as_bytes())
    }

    /// The other way round; `None` for any other name.
    pub(crate) fn from_dir(name: &str) -> Option<Self> {
        let bytes = crate::digest::unhex(name)?;
        Self::new(&String::from_utf8(bytes).ok()?).ok()
    }
}

impl Key {
    pub(crate) fn new(owner: &str, digest: ImageDigest, id: &str) -> Result<Self, StoreError> {
        let chars = id.chars().count();
        if chars == 0 || chars > MAX_ID_CHARS || id.chars().any(char::is_control) {
            return Err(StoreError::BadUploadId { max: MAX_ID_CHARS });
        }
        let (owner, id) = (Owner::new(owner)?, id.to_owned());
        Ok(Self { owner, digest, id })
    }

    /// What the names of its files begin with.
    pub(crate) fn stem(&self) -> String {
        hex(blake3::hash(&self.record(0)).as_bytes())
    }

    /// What is on record of an upload of so many bytes.
    pub(crate) fn record(&self, size: u64) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&size.to_le_bytes());
        bytes.extend_from_slice(&self.digest.0);
        bytes.extend(u8::try_from(self.owner.0.len()));
        bytes.extend_from_slice(self.owner.0.as_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes
    }

    /// The upload and its declared size, if `bytes` is the record of one.
    pub(crate) fn from_record(bytes: &[u8]) -> Option<(Self, u64)> {
        let (body, checksum) = bytes.split_last_chunk::<32>()?;
        if blake3::hash(body) != *checksum {
            return None;
        }
        let (size, rest) = body.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let (length, rest) = rest.split_first()?;
        let (owner, id) = rest.split_at_checked(usize::from(*length))?;
        let (owner, id) = (str::from_utf8(owner).ok()?, str::from_utf8(id).ok()?);
        let key = Self::new(owner, ImageDigest(*digest), id).ok()?;
        Some((key, u64::from_le_bytes(*size)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_leads_back_to_its_upload_and_no_changed_one_does() {
        let key = Key::new("überall", ImageDigest([3; 32]), "../../x y").unwrap();
        let record = key.record(0x1234);
        assert_eq!(Key::from_record(&record), Some((key.clone(), 0x1234)));
        assert!(record.len() as u64 <= MAX_RECORD_BYTES);
        for at in 0..record.len() {
            let mut flipped = record.clone();
            flipped[at] ^= 0x20;
            assert_eq!(Key::from_record(&flipped), None);
            assert_eq!(Key::from_record(&record[..at]), None);
        }
        assert!(key.stem().chars().all(|digit| digit.is_ascii_hexdigit()));
        assert_eq!(Owner::from_dir(&key.owner.dir()), Some(key.owner));
    }

    #[test]
    fn uploads_that_differ_in_anything_have_files_of_their_own() {
        let (a, b) = (ImageDigest([1; 32]), ImageDigest([2; 32]));
        let keys = [
            ("x", a, "1"),
            ("x", b, "1"),
            ("x", a, "2"),
            ("x1", a, ""),
            ("x1", a, "1"),
        ];
        let keys = keys
            .iter()
            .filter_map(|(owner, digest, id)| Key::new(owner, *digest, id).ok());
        let stems: std::collections::BTreeSet<_> = keys.map(|key| key.stem()).collect();
        assert_eq!(stems.len(), 4, "all but the one without an id");
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for owner in ["", "a\nb", &"x".repeat(101)] {
            assert!(
                matches!(Owner::new(owner), Err(StoreError::BadOwner { .. })),
                "{owner:?}"
            );
        }
        for id in ["", "\0", &"é".repeat(65)] {
            let refused = Key::new("x", ImageDigest([0; 32]), id);
            assert!(
                matches!(refused, Err(StoreError::BadUploadId { .. })),
                "{id:?}"
            );
        }
        Key::new("x", ImageDigest([0; 32]), &"é".repeat(64)).unwrap();
    }
}
