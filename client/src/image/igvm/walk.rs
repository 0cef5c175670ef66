//! The variable headers one after the other, each with its offset: type, length, contents, padding to 8 bytes.
//!
//! **Invariant:** ends where the headers end, after as many steps as there are headers; sections come in order.

use igvm_defs::{
    IGVM_VHT_OPTIONAL_BIT, IGVM_VHT_RANGE_DIRECTIVE, IGVM_VHT_RANGE_INIT, IGVM_VHT_RANGE_PLATFORM,
    IgvmVariableHeaderType as Kind,
};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::{super::ImageError, fixed::File};

/// Bytes of type and length.
const PREFIX: usize = 8;

/// One variable header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw<'a> {
    /// Where it is in the file.
    pub(super) offset: u64,
    /// Its type.
    pub(super) kind: Kind,
    body: &'a [u8],
}

/// The parts that headers come in, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    Platform,
    Initialization,
    Directive,
}

impl<'a> Raw<'a> {
    /// What is in it.
    ///
    /// # Errors
    /// It has not the length of a `T`.
    pub(super) fn read<T: FromBytes + KnownLayout + Immutable>(&self) -> Result<T, ImageError> {
        T::read_from_bytes(self.body).map_err(|_length| {
            self.wrong(format!(
                "it has {:#x} bytes, and one of type {:#x} has {:#x}; make the file anew",
                self.body.len(),
                self.kind.0,
                size_of::<T>()
            ))
        })
    }

    /// Its bytes.
    pub(super) fn body(&self) -> &'a [u8] {
        self.body
    }

    /// An error about it.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> ImageError {
        ImageError::at(name(self.kind), self.offset, problem)
    }

    /// Whether a loader that does not know it may go on.
    pub(super) fn is_optional(&self) -> bool {
        self.kind.0 & IGVM_VHT_OPTIONAL_BIT != 0
    }

    /// `None` if it is of no section.
    pub(super) fn section(&self) -> Option<Section> {
        let kind = self.kind.0 & !IGVM_VHT_OPTIONAL_BIT;
        if IGVM_VHT_RANGE_PLATFORM.contains(&kind) {
            Some(Section::Platform)
        } else if IGVM_VHT_RANGE_INIT.contains(&kind) {
            Some(Section::Initialization)
        } else if IGVM_VHT_RANGE_DIRECTIVE.contains(&kind) {
            Some(Section::Directive)
        } else {
            None
        }
    }
}

/// All headers of a file, up to the first that is broken.
pub(super) fn headers(file: &File) -> impl Iterator<Item = Result<Raw<'_>, ImageError>> {
    let (mut rest, mut offset) = file.headers();
    let mut reached = Section::Platform;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let step = split(rest, offset).and_then(|(raw, behind)| {
            reached = in_order(&raw, reached)?;
            Ok((raw, behind))
        });
        match step {
            Ok((raw, behind)) => {
                offset += (rest.len() - behind.len()) as u64;
                rest = behind;
                Some(Ok(raw))
            }
            Err(error) => {
                rest = &[];
                Some(Err(error))
            }
        }
    })
}

fn split(rest: &[u8], offset: u64) -> Result<(Raw<'_>, &[u8]), ImageError> {
    let cut = |problem: String| ImageError::at("IGVM variable header", offset, problem);
    let prefix = rest.split_at_checked(PREFIX).and_then(|(prefix, behind)| {
        let (words, _) = prefix.as_chunks::<4>();
        let [kind, length] = words else { return None };
        Some((
            u32::from_le_bytes(*kind),
            u32::from_le_bytes(*length),
            behind,
        ))
    });
    let Some((kind, length, behind)) = prefix else {
        return Err(cut(format!(
            "{:#x} bytes are left for it, and its type and length need 8; give the file as it was made",
            rest.len()
        )));
    };
    let Some((body, behind)) = behind.split_at_checked(length as usize) else {
        return Err(cut(format!(
            "type {kind:#x} has {length:#x} bytes, and {:#x} are left of the headers; give the file as it was made",
            behind.len()
        )));
    };
    let padding = body.len().next_multiple_of(8) - body.len();
    let Some((padding, behind)) = behind.split_at_checked(padding) else {
        return Err(cut(format!(
            "type {kind:#x} is padded to 8 bytes, and the headers end before; make the file anew"
        )));
    };
    if padding.iter().any(|byte| *byte != 0) {
        return Err(cut(format!(
            "the padding behind type {kind:#x} is not zero; make the file anew"
        )));
    }
    let raw = Raw {
        offset,
        kind: Kind(kind),
        body,
    };
    Ok((raw, behind))
}

/// Platforms come first, directives last; what is of no section, and optional, may be anywhere.
fn in_order(raw: &Raw<'_>, reached: Section) -> Result<Section, ImageError> {
    match raw.section() {
        Some(section) if section < reached => Err(raw.wrong(format!(
            "type {:#x} is a {section:?} header behind a {reached:?} header; platforms come first, then initialization, then directives: make the file anew",
            raw.kind.0
        ))),
        Some(section) => Ok(section),
        None if raw.is_optional() => Ok(reached),
        None => Err(raw.wrong(format!(
            "type {:#x} is not known and not optional; use a newer stagepages, or make the file without it",
            raw.kind.0
        ))),
    }
}

/// What a header is called.
pub(super) fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::IGVM_VHT_SUPPORTED_PLATFORM => "IGVM supported platform",
        Kind::IGVM_VHT_GUEST_POLICY => "IGVM guest policy",
        Kind::IGVM_VHT_RELOCATABLE_REGION => "IGVM relocatable region",
        Kind::IGVM_VHT_PAGE_TABLE_RELOCATION_REGION => "IGVM page table relocation",
        Kind::IGVM_VHT_PARAMETER_AREA => "IGVM parameter area",
        Kind::IGVM_VHT_PAGE_DATA => "IGVM page data",
        Kind::IGVM_VHT_PARAMETER_INSERT => "IGVM parameter insert",
        Kind::IGVM_VHT_VP_CONTEXT => "IGVM VP context",
        Kind::IGVM_VHT_REQUIRED_MEMORY => "IGVM required memory",
        Kind::IGVM_VHT_SNP_ID_BLOCK => "IGVM SNP ID block",
        Kind::IGVM_VHT_ERROR_RANGE => "IGVM error range",
        Kind::IGVM_VHT_VP_COUNT_PARAMETER
        | Kind::IGVM_VHT_SRAT
        | Kind::IGVM_VHT_MADT
        | Kind::IGVM_VHT_MMIO_RANGES
        | Kind::IGVM_VHT_MEMORY_MAP
        | Kind::IGVM_VHT_COMMAND_LINE
        | Kind::IGVM_VHT_SLIT
        | Kind::IGVM_VHT_PPTT
        | Kind::IGVM_VHT_DEVICE_TREE
        | Kind::IGVM_VHT_ENVIRONMENT_INFO_PARAMETER => "IGVM parameter",
        _ => "IGVM variable header",
    }
}
