//! The fixed header: where the variable headers are, and whether they are as they were written.
//!
//! **Invariant:** every slice that leaves here lies in the file, and file data behind the headers.

use std::ops::Range;

use bytes::Bytes;
use igvm_defs::{
    IGVM_FIXED_HEADER, IGVM_FIXED_HEADER_V2, IGVM_FORMAT_VERSION_1, IGVM_FORMAT_VERSION_2,
    IgvmArchitecture,
};
use zerocopy::FromBytes as _;

use super::{super::ImageError, walk::Raw};
use crate::addr::PAGE_BYTES;

const NAME: &str = "IGVM fixed header";
/// Where the checksum is, which is computed with itself zero.
const CHECKSUM_AT: usize = 20;

/// A file whose fixed header and checksum are right.
#[derive(Debug)]
pub(super) struct File {
    bytes: Bytes,
    version: u32,
    headers: Range<usize>,
}

impl File {
    /// # Errors
    /// Truncated, of an unknown version, for another architecture, or its sizes or checksum lie.
    pub(super) fn open(bytes: &Bytes) -> Result<Self, ImageError> {
        let short = || {
            let problem = format!(
                "the file ends after {:#x} bytes, inside it; give the whole file",
                bytes.len()
            );
            ImageError::at(NAME, 0, problem)
        };
        let (header, _) = IGVM_FIXED_HEADER::read_from_prefix(bytes).map_err(|_cut| short())?;
        if !super::recognises(bytes) {
            let problem = format!(
                "the magic is {:#x} and not that of IGVM; give an IGVM file",
                header.magic
            );
            return Err(ImageError::at(NAME, 0, problem));
        }
        let fixed = match header.format_version {
            IGVM_FORMAT_VERSION_1 => size_of::<IGVM_FIXED_HEADER>(),
            IGVM_FORMAT_VERSION_2 => {
                let (header, _) =
                    IGVM_FIXED_HEADER_V2::read_from_prefix(bytes).map_err(|_cut| short())?;
                check_version_2(&header)?;
                size_of::<IGVM_FIXED_HEADER_V2>()
            }
            version => {
                let problem = format!("format version {version:#x}; versions 1 and 2 are known");
                return Err(ImageError::at(NAME, 4, problem));
            }
        };
        if header.total_file_size as usize != bytes.len() {
            let problem = format!(
                "it says that the file has {:#x} bytes, and it has {:#x}; give the file as it was made",
                header.total_file_size,
                bytes.len()
            );
            return Err(ImageError::at(NAME, 16, problem));
        }
        let headers = headers(&header, fixed, bytes.len())?;
        check_sum(bytes, fixed, &headers, header.checksum)?;
        Ok(Self {
            bytes: bytes.clone(),
            version: header.format_version,
            headers,
        })
    }

    /// Version of the format.
    pub(super) fn version(&self) -> u32 {
        self.version
    }

    /// Bytes in the file.
    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// The variable headers, and where they begin.
    pub(super) fn headers(&self) -> (&[u8], u64) {
        let headers = self.bytes.get(self.headers.clone()).unwrap_or_default();
        (headers, self.headers.start as u64)
    }

    /// Where `length` bytes of file data from `offset` on are, which `raw` refers to.
    ///
    /// # Errors
    /// They are not all behind the headers and inside the file.
    pub(super) fn data(
        &self,
        raw: &Raw<'_>,
        offset: u32,
        length: u64,
    ) -> Result<Range<usize>, ImageError> {
        let start = offset as usize;
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| start.checked_add(length))
            .filter(|end| *end <= self.bytes.len());
        match end {
            Some(end) if start >= self.headers.end => Ok(start..end),
            _ => Err(raw.wrong(format!(
                "its data is {length:#x} bytes at offset {offset:#x}, and file data is from {:#x} to {:#x}; give the file as it was made",
                self.headers.end,
                self.bytes.len()
            ))),
        }
    }

    /// The bytes of a range that [`File::data`] gave.
    pub(super) fn slice(&self, range: Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }
}

fn check_version_2(header: &IGVM_FIXED_HEADER_V2) -> Result<(), ImageError> {
    if header.architecture != IgvmArchitecture::X64 {
        let problem = format!(
            "architecture {:#x} is not x86-64 (0); give a file for x86-64",
            header.architecture.0
        );
        return Err(ImageError::at(NAME, 24, problem));
    }
    if u64::from(header.page_size) != PAGE_BYTES {
        let problem = format!(
            "pages of {:#x} bytes; launches have pages of {PAGE_BYTES:#x}, make the file for these",
            header.page_size
        );
        return Err(ImageError::at(NAME, 28, problem));
    }
    Ok(())
}

fn headers(
    header: &IGVM_FIXED_HEADER,
    fixed: usize,
    length: usize,
) -> Result<Range<usize>, ImageError> {
    let start = header.variable_header_offset as usize;
    let end = start.saturating_add(header.variable_header_size as usize);
    if start < fixed || !start.is_multiple_of(8) || end > length {
        let problem = format!(
            "the variable headers are {:#x} bytes at {start:#x}; they begin at a multiple of 8 behind {fixed:#x} and end inside the file, at {length:#x}",
            header.variable_header_size
        );
        return Err(ImageError::at(NAME, 8, problem));
    }
    Ok(start..end)
}

fn check_sum(
    bytes: &[u8],
    fixed: usize,
    headers: &Range<usize>,
    told: u32,
) -> Result<(), ImageError> {
    let part = |range| bytes.get::<Range<usize>>(range).unwrap_or_default();
    let mut sum = crc32fast::Hasher::new();
    sum.update(part(0..CHECKSUM_AT));
    sum.update(&[0; 4]);
    sum.update(part(CHECKSUM_AT + 4..fixed));
    sum.update(part(headers.clone()));
    let computed = sum.finalize();
    if computed == told {
        return Ok(());
    }
    let problem = format!(
        "the checksum is {told:#x}, and that of the headers {computed:#x}: they were changed or damaged; get the file again"
    );
    Err(ImageError::at(NAME, CHECKSUM_AT as u64, problem))
}
