//! Page data: pages with contents, of zeros, or that firmware fills.
//!
//! **Invariant:** holds where contents are in the file, never the contents.

use std::ops::Range;

use igvm_defs::{
    IGVM_VHS_PAGE_DATA, IgvmPageDataFlags, IgvmPageDataType as Type, IgvmPlatformType as Platform,
};

use super::{
    super::ImageError, areas::Area, fixed::File, memory::Span, notes::Notes, platform::Target,
    walk::Raw,
};
use crate::{addr::PAGE_BYTES, plan::Severity, v1::PageType};

/// Bytes of a large page.
const LARGE: u64 = 2 << 20;

/// Pages that one header loads.
#[derive(Debug)]
pub(super) struct Piece {
    /// Which.
    pub(super) span: Span,
    /// Address of the first.
    pub(super) gpa: u64,
    /// How many.
    pub(super) pages: u64,
    /// Of which type.
    pub(super) page_type: PageType,
    /// What is in them.
    pub(super) part: Part,
    /// Where the header is.
    pub(super) offset: u64,
}

/// What is in pages.
#[derive(Debug)]
pub(super) enum Part {
    /// This part of the file.
    Data(Range<usize>),
    /// Zeros, or what firmware writes.
    Zeros,
    /// A parameter area, filled when all is known that is asked for.
    Area(Box<Area>),
}

/// The pages of a header; `None` if it is for another platform, or its pages are not loaded.
///
/// # Errors
/// The header is broken, or the platform has no such pages.
pub(super) fn read(
    raw: &Raw<'_>,
    file: &File,
    target: &Target,
    notes: &mut Notes,
) -> Result<Option<Piece>, ImageError> {
    let header: IGVM_VHS_PAGE_DATA = raw.read()?;
    if !target.takes(header.compatibility_mask) {
        return Ok(None);
    }
    if header.reserved != 0 || header.flags.reserved() != 0 {
        return Err(raw.wrong(format!(
            "flags {:#x} or the reserved field {:#x} have bits that stand for nothing; use a newer stagepages, or make the file anew",
            u32::from(header.flags),
            header.reserved
        )));
    }
    let bytes = size(raw, &header, notes)?;
    let Some(span) = Span::new(raw, header.gpa, bytes)? else {
        return Ok(None);
    };
    let part = match header.file_offset {
        0 => Part::Zeros,
        offset => Part::Data(file.data(raw, offset, bytes)?),
    };
    if header.flags.shared() && target.is_confidential() {
        tell_shared(raw, file, &header, &part, notes);
        return Ok(None);
    }
    let page_type = page_type(raw, &header, target, notes)?;
    let part = match page_type {
        PageType::Secrets => Part::Zeros,
        PageType::Normal
        | PageType::Unmeasured
        | PageType::Cpuid
        | PageType::Zero
        | PageType::Unspecified => part,
    };
    Ok(Some(Piece {
        span,
        gpa: header.gpa,
        pages: bytes / PAGE_BYTES,
        page_type,
        part,
        offset: raw.offset,
    }))
}

fn size(raw: &Raw<'_>, header: &IGVM_VHS_PAGE_DATA, notes: &mut Notes) -> Result<u64, ImageError> {
    if !header.flags.is_2mb_page() {
        return Ok(PAGE_BYTES);
    }
    if !header.gpa.is_multiple_of(LARGE) || header.data_type != Type::NORMAL {
        return Err(raw.wrong(format!(
            "a page of 2 MiB of type {:#x} at GPA {:#x}; such pages are NORMAL (0), at multiples of {LARGE:#x}: make the file anew",
            header.data_type.0, header.gpa
        )));
    }
    notes.once(Severity::Warning, "LARGE_PAGE", raw.offset, || {
        format!("the page of 2 MiB at {:#x} is installed and measured as 512 pages of 4 KiB, as KVM does it; tools that take 4 KiB of it give another digest", header.gpa)
    });
    Ok(LARGE)
}

fn page_type(
    raw: &Raw<'_>,
    header: &IGVM_VHS_PAGE_DATA,
    target: &Target,
    notes: &mut Notes,
) -> Result<PageType, ImageError> {
    let special = match header.data_type {
        Type::NORMAL => return Ok(normal(header.flags)),
        Type::SECRETS => PageType::Secrets,
        Type::CPUID_DATA => PageType::Cpuid,
        Type::CPUID_XF => {
            notes.once(Severity::Warning, "CPUID_XF", raw.offset, || {
                format!("the page at {:#x} is to hold CPUID leaves of extended features; KVM has one type of CPUID page, which it becomes", header.gpa)
            });
            PageType::Cpuid
        }
        Type(other) => {
            return Err(raw.wrong(format!(
                "data type {other:#x} at GPA {:#x}; types 0 to 3 are known: use a newer stagepages, or make the file anew",
                header.gpa
            )));
        }
    };
    if target.kind != Platform::SEV_SNP {
        return Err(raw.wrong(format!(
            "a page of data type {:#x} at GPA {:#x}; only SEV-SNP has such pages, and this header is for {}: make the file without it",
            header.data_type.0,
            header.gpa,
            target.name()
        )));
    }
    Ok(special)
}

fn normal(flags: IgvmPageDataFlags) -> PageType {
    match flags.unmeasured() {
        true => PageType::Unmeasured,
        false => PageType::Normal,
    }
}

/// Shared pages are not in private memory, which is all that a launch installs; zeros are there anyway.
fn tell_shared(
    raw: &Raw<'_>,
    file: &File,
    header: &IGVM_VHS_PAGE_DATA,
    part: &Part,
    notes: &mut Notes,
) {
    let is_blank = match part {
        Part::Data(range) => file.slice(range.clone()).iter().all(|byte| *byte == 0),
        Part::Zeros | Part::Area(_) => true,
    };
    let gpa = header.gpa;
    match is_blank {
        true => notes.once(Severity::Note, "SHARED_ZEROS", raw.offset, || {
            format!("the page at {gpa:#x} is shared and of zeros; shared memory begins as zeros, and nothing is loaded")
        }),
        false => notes.once(Severity::Error, "SHARED_PAGE", raw.offset, || {
            format!("the page at {gpa:#x} is shared and has contents, and a launch installs private pages only: the guest would find zeros; make the image without it, or with an unmeasured page")
        }),
    }
}
