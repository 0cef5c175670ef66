//! Parameter areas: declared, written to by parameters, and inserted once as unmeasured pages.
//!
//! **Invariant:** areas that are inserted have 16 MiB in all at most; in each, every kind of parameter is written once.

use std::{collections::BTreeMap, ops::Range};

use igvm_defs::{
    IGVM_VHS_PARAMETER, IGVM_VHS_PARAMETER_AREA, IGVM_VHS_PARAMETER_INSERT,
    IgvmVariableHeaderType as Kind,
};

use super::{
    super::ImageError,
    fixed::File,
    memory::Span,
    pages::{Part, Piece},
    platform::Target,
    walk::Raw,
};
use crate::{
    addr::{PAGE_BYTES, Size},
    v1::PageType,
};

/// Bytes of all areas: many times what any image has, and little to hold.
const LARGEST: u64 = 16 << 20;

/// Areas by their index.
#[derive(Debug, Default)]
pub(super) struct Areas {
    by_index: BTreeMap<u32, State>,
    inserted: u64,
}

#[derive(Debug)]
enum State {
    Open(Box<Area>),
    /// By the header there.
    Inserted(u64),
}

/// One area.
#[derive(Debug)]
pub(super) struct Area {
    /// By which parameters name it.
    pub(super) index: u32,
    /// Its length.
    pub(super) bytes: u64,
    /// What it begins with, in the file.
    pub(super) initial: Option<Range<usize>>,
    /// What is written to it.
    pub(super) parameters: Vec<Parameter>,
}

/// Something that is written to an area.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    /// What.
    pub(super) kind: Kind,
    /// Where in the area.
    pub(super) at: u32,
    /// Where its header is.
    pub(super) offset: u64,
}

impl Areas {
    /// A new area.
    pub(super) fn declare(&mut self, raw: &Raw<'_>, file: &File) -> Result<(), ImageError> {
        let header: IGVM_VHS_PARAMETER_AREA = raw.read()?;
        let (index, bytes) = (header.parameter_area_index, header.number_of_bytes);
        if bytes == 0 || !bytes.is_multiple_of(PAGE_BYTES) {
            return Err(raw.wrong(format!(
                "area {index} has {bytes:#x} bytes, which are no whole pages; make the file anew"
            )));
        }
        let initial = match header.file_offset {
            0 => None,
            offset => Some(file.data(raw, offset, bytes)?),
        };
        let area = Box::new(Area {
            index,
            bytes,
            initial,
            parameters: Vec::new(),
        });
        if self.by_index.insert(index, State::Open(area)).is_some() {
            return Err(raw.wrong(format!(
                "area {index} was declared before; make the file with an index for each"
            )));
        }
        Ok(())
    }

    /// Something that is written to an area.
    pub(super) fn parameter(&mut self, raw: &Raw<'_>) -> Result<(), ImageError> {
        let header: IGVM_VHS_PARAMETER = raw.read()?;
        let area = self.open(raw, header.parameter_area_index)?;
        if u64::from(header.byte_offset) >= area.bytes {
            return Err(raw.wrong(format!(
                "it is to be written at {:#x} of area {}, which has {:#x} bytes; make the file anew",
                header.byte_offset, area.index, area.bytes
            )));
        }
        // Else what is written would grow with the square of the file.
        if area.parameters.iter().any(|other| other.kind == raw.kind) {
            return Err(raw.wrong(format!(
                "area {} has a parameter of type {:#x} already; make the file with one of each in an area",
                area.index, raw.kind.0
            )));
        }
        area.parameters.push(Parameter {
            kind: raw.kind,
            at: header.byte_offset,
            offset: raw.offset,
        });
        Ok(())
    }

    /// The pages of an area; `None` if they are for another platform.
    pub(super) fn insert(
        &mut self,
        raw: &Raw<'_>,
        target: &Target,
    ) -> Result<Option<Piece>, ImageError> {
        let header: IGVM_VHS_PARAMETER_INSERT = raw.read()?;
        if !target.takes(header.compatibility_mask) {
            return Ok(None);
        }
        let bytes = self.open(raw, header.parameter_area_index)?.bytes;
        self.inserted = self.inserted.saturating_add(bytes);
        if self.inserted > LARGEST {
            return Err(raw.wrong(format!(
                "with area {} of {bytes:#x} bytes, parameter areas have more than {} in all; make the file with smaller ones",
                header.parameter_area_index,
                Size(LARGEST)
            )));
        }
        let state = State::Inserted(raw.offset);
        let area = match self.by_index.insert(header.parameter_area_index, state) {
            Some(State::Open(area)) => area,
            Some(State::Inserted(_)) | None => return Ok(None),
        };
        let span = Span::new(raw, header.gpa, bytes)?;
        Ok(span.map(|span| Piece {
            span,
            gpa: header.gpa,
            pages: bytes / PAGE_BYTES,
            page_type: PageType::Unmeasured,
            part: Part::Area(area),
            offset: raw.offset,
        }))
    }

    fn open(&mut self, raw: &Raw<'_>, index: u32) -> Result<&mut Area, ImageError> {
        match self.by_index.get_mut(&index) {
            Some(State::Open(area)) => Ok(area),
            Some(State::Inserted(at)) => Err(raw.wrong(format!(
                "area {index} was inserted by the header at offset {at:#x}, and is closed; make the file anew"
            ))),
            None => Err(raw.wrong(format!(
                "area {index} was not declared before; make the file anew"
            ))),
        }
    }
}
