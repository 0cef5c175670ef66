//! SEV metadata: which pages of the guest are installed beside the image, and as what (EDK2, OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm).
//!
//! ```text
//! "ASEV" │ bytes │ version 1 │ sections │ then each: address, bytes, type, of 4 bytes each
//! ```
//!
//! **Invariant:** sections keep their order, which the launch digest depends on.

use super::{
    guid::SEV_METADATA,
    sections::{self, Place},
    table::Table,
};
use crate::{
    addr::{Gpa, PAGE_BYTES},
    image::ImageError,
};

const LIST: &str = "SEV metadata";
pub(super) const SECTION: &str = "SEV metadata section";
/// Bytes of a section.
const ENTRY: u64 = 12;

/// Some pages and what is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub kind: Kind,
    pub gpa: Gpa,
    /// In bytes, whole pages; 0 for one that this build of the image leaves out.
    pub size: u64,
    /// Where it is in the file.
    pub offset: u64,
}

/// What is to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Memory that firmware needs before it can accept any.
    Memory,
    Secrets,
    Cpuid,
    /// Where firmware would call an SVSM beneath it.
    CallingArea,
    KernelHashes,
    /// None that is known here.
    Unknown(u32),
}

impl Kind {
    fn of(number: u32) -> Self {
        match number {
            1 => Self::Memory,
            2 => Self::Secrets,
            3 => Self::Cpuid,
            4 => Self::CallingArea,
            0x10 => Self::KernelHashes,
            other => Self::Unknown(other),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "SNP_SEC_MEM",
            Self::Secrets => "SECRETS",
            Self::Cpuid => "CPUID",
            Self::CallingArea => "SVSM_CAA",
            Self::KernelHashes => "KERNEL_HASHES",
            Self::Unknown(_) => "unknown section",
        }
    }

    /// Firmware writes these pages, and each launch has one of a kind.
    fn is_one_page(self) -> bool {
        matches!(self, Self::Secrets | Self::Cpuid)
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
}

/// Whether the table leads to SEV metadata.
pub(super) fn is_there(table: &Table<'_>) -> Result<bool, ImageError> {
    table.find(SEV_METADATA, LIST, 4).map(|it| it.is_some())
}

/// The sections in their order.
///
/// # Errors
/// There are none, or they are no whole pages, or overlap each other or `rom`, the place of the image itself.
pub(super) fn read(
    image: &[u8],
    table: &Table<'_>,
    rom: Place,
) -> Result<Vec<Section>, ImageError> {
    let mut entry = table.find(SEV_METADATA, LIST, 4)?.ok_or_else(|| {
        ImageError::whole(
            LIST,
            "the image has none, so that no SEV-SNP guest can begin with it; give an OVMF that was built for SEV-SNP",
        )
    })?;
    let (count, mut fields) = sections::list(LIST, image, entry.u32()?, *b"ASEV", ENTRY)?;
    let mut found = Vec::new();
    for _ in 0..count {
        let offset = fields.offset();
        let (gpa, size) = (u64::from(fields.u32()?), u64::from(fields.u32()?));
        let kind = Kind::of(fields.u32()?);
        sections::check_pages(SECTION, offset, gpa, size)?;
        if kind.is_one_page() && size != PAGE_BYTES {
            let problem = format!(
                "{} has {size:#x} bytes, and firmware fills one page of {PAGE_BYTES:#x}; give an intact image",
                kind.name()
            );
            return Err(ImageError::at(SECTION, offset, problem));
        }
        found.push(Section {
            kind,
            gpa: Gpa::new(gpa),
            size,
            offset,
        });
    }
    let present = found.iter().filter(|section| section.size > 0);
    let places: Vec<Place> = present.map(Section::place).collect();
    sections::check_total(SECTION, &places, image)?;
    sections::check_disjoint(SECTION, places.into_iter().chain([rom]))?;
    Ok(found)
}
