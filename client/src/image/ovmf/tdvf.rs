//! The TDVF descriptor: which pages a TD begins with, where their bytes are, and which are measured (Intel TDX Virtual Firmware Design Guide,
//! section 11).
//!
//! ```text
//! "TDVF" │ bytes │ version 1 │ sections │ then each: offset and bytes in the file │ address and bytes in the guest │ type │ attributes
//! ```
//!
//! Types from PermMem on are those of td-shim, which has the same descriptor.
//!
//! **Invariant:** sections keep their order, which MRTD depends on.

use super::{
    fields::{Fields, part},
    guid::TDX_METADATA,
    sections::{self, Place},
    table::Table,
};
use crate::{addr::Gpa, image::ImageError};

const LIST: &str = "TDVF descriptor";
pub(super) const SECTION: &str = "TDVF section";
/// Bytes of a section.
const ENTRY: u64 = 32;
const MR_EXTEND: u32 = 1;
const PAGE_AUG: u32 = 2;

/// Some pages and what is to be there.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub kind: Kind,
    pub gpa: Gpa,
    /// In bytes, whole pages; 0 for what is not in the guest's memory.
    pub size: u64,
    /// Where its bytes are in the file, and how many; zeros follow.
    pub data_offset: u64,
    pub data_size: u64,
    /// Whether its contents are measured, not just its address (MR.EXTEND).
    pub is_measured: bool,
    /// Whether the guest is to accept it, so that it is not installed (PAGE.AUG).
    pub is_accepted_later: bool,
    /// Where it is in the file.
    pub offset: u64,
}

/// What is to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The firmware's code.
    Bfv,
    /// The firmware's variables.
    Cfv,
    /// Where the guest finds the list of its memory.
    TdHob,
    TempMem,
    PermMem,
    Payload,
    PayloadParam,
    TdInfo,
    TdParams,
    /// None that is known here.
    Unknown(u32),
}

impl Kind {
    fn of(number: u32) -> Self {
        match number {
            0 => Self::Bfv,
            1 => Self::Cfv,
            2 => Self::TdHob,
            3 => Self::TempMem,
            4 => Self::PermMem,
            5 => Self::Payload,
            6 => Self::PayloadParam,
            7 => Self::TdInfo,
            8 => Self::TdParams,
            other => Self::Unknown(other),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bfv => "BFV",
            Self::Cfv => "CFV",
            Self::TdHob => "TD_HOB",
            Self::TempMem => "TempMem",
            Self::PermMem => "PermMem",
            Self::Payload => "Payload",
            Self::PayloadParam => "PayloadParam",
            Self::TdInfo => "TD_INFO",
            Self::TdParams => "TD_PARAMS",
            Self::Unknown(_) => "unknown section",
        }
    }

    /// Whether its bytes must be in the file, or must not be; `None` where both is fine.
    fn has_data(self) -> Option<bool> {
        match self {
            Self::Bfv | Self::Cfv => Some(true),
            Self::TdHob | Self::TempMem | Self::PermMem => Some(false),
            Self::Payload
            | Self::PayloadParam
            | Self::TdInfo
            | Self::TdParams
            | Self::Unknown(_) => None,
        }
    }
}

impl Section {
    pub(super) fn place(&self) -> Place {
        Place {
            gpa: self.gpa,
            size: self.size,
            offset: self.offset,
            name: self.kind.name(),
        }
    }

    /// Whether a launch installs it: the rest is the guest's to accept, or no memory at all.
    pub(super) fn is_installed(&self) -> bool {
        self.size > 0 && !self.is_accepted_later
    }

    fn read(fields: &mut Fields<'_>, image: &[u8]) -> Result<Self, ImageError> {
        let offset = fields.offset();
        let wrong = |problem: String| {
            let problem = format!("{problem}; give an intact image");
            Err(ImageError::at(SECTION, offset, problem))
        };
        let (data_offset, data_size) = (u64::from(fields.u32()?), u64::from(fields.u32()?));
        let (gpa, size) = (fields.u64()?, fields.u64()?);
        let (kind, attributes) = (Kind::of(fields.u32()?), fields.u32()?);
        let name = kind.name();
        sections::check_pages(SECTION, offset, gpa, size)?;
        if part(image, data_offset, data_size).is_none() {
            return wrong(format!(
                "{name} has {data_size:#x} bytes at {data_offset:#x}, and the file ends at {:#x}",
                image.len()
            ));
        }
        if size > 0 && data_size > size {
            return wrong(format!(
                "{name} has {data_size:#x} bytes in the file and {size:#x} in the guest"
            ));
        }
        match kind.has_data() {
            Some(true) if data_size == 0 => return wrong(format!("{name} has no bytes")),
            Some(false) if data_size > 0 => {
                return wrong(format!("{name} has {data_size:#x} bytes and takes none"));
            }
            _ => {}
        }
        if attributes & !(MR_EXTEND | PAGE_AUG) != 0 {
            return Err(ImageError::at(
                SECTION,
                offset,
                format!(
                    "{name} has attributes {attributes:#x}, of which only 0x3 are known here; give an image without the others, which may decide how it is measured"
                ),
            ));
        }
        if attributes == MR_EXTEND | PAGE_AUG {
            return wrong(format!(
                "{name} is to be measured and not to be installed (attributes {attributes:#x})"
            ));
        }
        Ok(Self {
            kind,
            gpa: Gpa::new(gpa),
            size,
            data_offset,
            data_size,
            is_measured: attributes & MR_EXTEND != 0,
            is_accepted_later: attributes & PAGE_AUG != 0,
            offset,
        })
    }
}

/// Whether the table leads to a TDVF descriptor.
pub(super) fn is_there(table: &Table<'_>) -> Result<bool, ImageError> {
    table.find(TDX_METADATA, LIST, 4).map(|it| it.is_some())
}

/// The sections in their order.
///
/// # Errors
/// There are none, or what they say cannot be: outside the file, no whole pages, overlapping.
pub(super) fn read(image: &[u8], table: &Table<'_>) -> Result<Vec<Section>, ImageError> {
    let mut entry = table.find(TDX_METADATA, LIST, 4)?.ok_or_else(|| {
        ImageError::whole(
            LIST,
            "the image has none, so that no TD can begin with it; give a TDVF, an OVMF that was built for TDX",
        )
    })?;
    let (count, mut fields) = sections::list(LIST, image, entry.u32()?, *b"TDVF", ENTRY)?;
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(Section::read(&mut fields, image)?);
    }
    let mut hobs = found.iter().filter(|section| section.kind == Kind::TdHob);
    if let Some(second) = hobs.nth(1) {
        let problem =
            "it is the second TD_HOB, and RCX has room for one address; give an image with one";
        return Err(ImageError::at(SECTION, second.offset, problem));
    }
    if !found
        .iter()
        .any(|section| section.kind == Kind::Bfv && section.is_installed())
    {
        let problem = "no section is a BFV, so that a TD would have no code; give an intact image";
        return Err(ImageError::whole(LIST, problem));
    }
    let installed = found.iter().filter(|section| section.is_installed());
    let installed: Vec<Place> = installed.map(Section::place).collect();
    sections::check_total(SECTION, &installed, image)?;
    sections::check_disjoint(SECTION, installed)?;
    Ok(found)
}
