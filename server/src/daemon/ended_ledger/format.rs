//! What is where in a ledger's file.
//!
//! ```text
//!  magic    a line of text
//!  runs     32 bytes each, in order of installation: GPA, first ordinal, first hash, page type, uniform
//!  places   16 bytes each, by GPA: GPA, first ordinal
//!  hashes   32 bytes each, in order of installation; one for a uniform run, none for private types
//!  chunks   the hashes of the chunks that all this is cut into, see `sealed`
//! ```
//!
//! Numbers are little-endian. A run's length is not there: it ends where the next one begins. How many there are of each is in the launch's record.
//!
//! **Invariant:** no count is believed before the file's length agrees with it.

use stagepages_host::{ledger::Run, protocol};

/// What a file begins with.
pub(super) const MAGIC: &[u8] = b"stagepages ledger 1\n";

/// Bytes of a run.
pub(super) const RUN: u64 = 32;

/// Bytes of a place.
pub(super) const PLACE: u64 = 16;

/// Bytes of a hash.
pub(super) const HASH: u64 = 32;

/// What a launch's record says of the file: without it, the file is nothing. All zero for a ledger without pages, which has no file.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Note {
    /// Runs.
    #[prost(uint64, tag = "1")]
    pub runs: u64,
    /// Their pages.
    #[prost(uint64, tag = "2")]
    pub pages: u64,
    /// Hashes.
    #[prost(uint64, tag = "3")]
    pub hashes: u64,
    /// See [`seal`](super::sealed::seal).
    #[prost(bytes = "vec", tag = "4")]
    pub seal: Vec<u8>,
}

impl Note {
    /// Bytes from the beginning of the file to the chunks' hashes; `None` for counts that no file has.
    pub(super) fn body(&self) -> Option<u64> {
        let runs = self.runs.checked_mul(RUN + PLACE)?;
        let hashes = self.hashes.checked_mul(HASH)?;
        (MAGIC.len() as u64).checked_add(runs)?.checked_add(hashes)
    }

    /// Where the run of this number is.
    pub(super) fn run_at(number: u64) -> Option<u64> {
        (MAGIC.len() as u64).checked_add(number.checked_mul(RUN)?)
    }

    /// Where the place of this number is.
    pub(super) fn place_at(&self, number: u64) -> Option<u64> {
        Self::run_at(self.runs)?.checked_add(number.checked_mul(PLACE)?)
    }

    /// Where the hash of this number is.
    pub(super) fn hash_at(&self, number: u64) -> Option<u64> {
        self.place_at(self.runs)?
            .checked_add(number.checked_mul(HASH)?)
    }
}

/// A run as it is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) gpa: u64,
    pub(super) first_ordinal: u64,
    pub(super) first_hash: u64,
    pub(super) page_type: u32,
    pub(super) uniform: bool,
}

impl Entry {
    pub(super) fn new(run: &Run, first_hash: u64) -> Self {
        Self {
            gpa: run.range.start().gpa().get(),
            first_ordinal: run.first_ordinal,
            first_hash,
            page_type: protocol::page_type_number(run.page_type),
            uniform: run.uniform,
        }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let numbers = [self.gpa, self.first_ordinal, self.first_hash];
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        bytes.extend(self.page_type.to_le_bytes());
        bytes.extend(u32::from(self.uniform).to_le_bytes());
        bytes
    }

    /// `None` for bytes that are no run.
    pub(super) fn from_bytes(bytes: [u8; 32]) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<8>();
        let [gpa, first_ordinal, first_hash, last] = words else {
            return None;
        };
        let [a, b, c, d, flags @ ..] = *last;
        Some(Self {
            gpa: u64::from_le_bytes(*gpa),
            first_ordinal: u64::from_le_bytes(*first_ordinal),
            first_hash: u64::from_le_bytes(*first_hash),
            page_type: u32::from_le_bytes([a, b, c, d]),
            uniform: match u32::from_le_bytes(flags) {
                0 => false,
                1 => true,
                _ => return None,
            },
        })
    }
}
