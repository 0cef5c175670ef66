//! The table of GUIDs at the reset vector, through which an EDK2 image says where its other structures are (EDK2,
//! OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm).
//!
//! ```text
//! … data, size, GUID │ data, size, GUID │ size of all, footer GUID │ 32 bytes: the reset vector
//!                      ◀── read from here, backwards                                       4 GiB
//! ```
//!
//! The size of an entry covers its data, the size itself and the GUID; that of the footer covers the whole table.
//!
//! **Invariant:** at most 64 KiB, as its size has 16 bits; each entry is at least 18 bytes, so reading it ends.

use super::{
    fields::{Fields, part},
    guid::{FOOTER, Guid},
};
use crate::{
    image::ImageError,
    plan::{Finding, Severity},
};

const TABLE: &str = "GUID table";
/// The reset vector's code, behind the table.
const RESET_VECTOR: usize = 32;
/// Size and GUID.
const HEADER: usize = 18;

/// The entries, the last one first.
#[derive(Debug)]
pub(super) struct Table<'a> {
    entries: Vec<Entry<'a>>,
}

#[derive(Debug)]
struct Entry<'a> {
    guid: Guid,
    data: &'a [u8],
    offset: u64,
}

/// Whether these bytes end as an image with such a table does.
pub(super) fn is_there(image: &[u8]) -> bool {
    footer(image).is_some_and(|(_, _, guid)| guid == FOOTER)
}

impl<'a> Table<'a> {
    /// The table; without entries if the image has none.
    ///
    /// # Errors
    /// Its sizes contradict each other or the file's, or it is an SVSM's.
    pub(super) fn read(image: &'a [u8]) -> Result<Self, ImageError> {
        let mut entries = Vec::new();
        let Some((before, size, FOOTER)) = footer(image) else {
            return Ok(Self { entries });
        };
        let mut end = before.len();
        let broken = |at: usize, size: u16, what: String| {
            let problem = format!("it claims {size:#x} bytes, and {what}; give an intact image");
            ImageError::at(TABLE, at as u64, problem)
        };
        let mut left = usize::from(size)
            .checked_sub(HEADER)
            .filter(|left| *left <= end)
            .ok_or_else(|| {
                let what = format!("the footer alone has {HEADER:#x}, the file {end:#x} before it");
                broken(end, size, what)
            })?;
        while left > 0 {
            let entry = before
                .get(end - left..end)
                .and_then(|table| table.split_last_chunk::<HEADER>());
            let Some((data, header)) = entry else {
                let what = format!("{left:#x} at its beginning are too few for an entry");
                return Err(broken(end - left, size, what));
            };
            let (length, guid) = split(*header);
            let data_bytes = usize::from(length).checked_sub(HEADER);
            let start = data_bytes.and_then(|it| data.len().checked_sub(it));
            let Some((start, data)) = start.and_then(|it| Some((it, data.get(it..)?))) else {
                let what = format!("an entry has at least {HEADER:#x} and at most {left:#x} here");
                return Err(broken(end - HEADER, length, what));
            };
            entries.push(Entry {
                guid,
                data,
                offset: (end - left + start) as u64,
            });
            end -= usize::from(length);
            left = start;
        }
        Ok(Self { entries })
    }

    /// The data of the entry with this GUID, at least `length` bytes.
    ///
    /// # Errors
    /// There are several: QEMU takes the last, sev-snp-measure the first, so there is no telling what is meant. Or its data is shorter.
    pub(super) fn find(
        &self,
        guid: Guid,
        structure: &'static str,
        length: u64,
    ) -> Result<Option<Fields<'a>>, ImageError> {
        let mut found = self.entries.iter().filter(|entry| entry.guid == guid);
        let Some(entry) = found.next() else {
            return Ok(None);
        };
        if let Some(other) = found.next() {
            let problem = format!(
                "{guid} is in the table twice, also at {:#x}, and tools differ in which they take; give an image with one",
                entry.offset
            );
            return Err(ImageError::at(structure, other.offset, problem));
        }
        Fields::of(structure, entry.data, entry.offset, length).map(Some)
    }

    /// One finding for each entry of no known kind.
    pub(super) fn unknown(&self) -> Vec<Finding> {
        let unknown = self.entries.iter().filter(|entry| !entry.guid.is_known());
        unknown
            .map(|entry| {
                let text = format!(
                    "the GUID table has an entry {} of {:#x} bytes that is not known here; it is left alone, and is measured as part of the image",
                    entry.guid,
                    entry.data.len()
                );
                Finding::new(Severity::Note, "UNKNOWN_GUID", text).at_offset(entry.offset)
            })
            .collect()
    }
}

/// What is before the footer, the size in it and its GUID.
fn footer(image: &[u8]) -> Option<(&[u8], u16, Guid)> {
    let footer_at = image.len().checked_sub(RESET_VECTOR + HEADER)?;
    let before = image.get(..footer_at)?;
    let header = part(image, footer_at as u64, HEADER as u64)?.first_chunk()?;
    let (size, guid) = split(*header);
    Some((before, size, guid))
}

fn split(header: [u8; HEADER]) -> (u16, Guid) {
    let [low, high, guid @ ..] = header;
    (u16::from_le_bytes([low, high]), Guid::from_bytes(guid))
}
