//! Directives: what is loaded for the chosen platform, in the order of the file.
//!
//! **Invariant:** a header for another platform changes nothing, but it must be well formed; no more than 16 GiB of pages are loaded.

use igvm_defs::{
    IGVM_VHS_ERROR_RANGE, IGVM_VHS_REQUIRED_MEMORY, IGVM_VHS_SNP_ID_BLOCK,
    IgvmVariableHeaderType as Kind,
};

use super::{
    super::ImageError,
    areas::Areas,
    contexts::Contexts,
    fixed::File,
    id_block::IdBlock,
    memory::Span,
    notes::Notes,
    pages::{self, Piece},
    platform::{self, Target},
    start::mask_of,
    walk::{self, Raw, Section},
};
use crate::{
    addr::{PAGE_BYTES, Size},
    plan::Severity,
};

/// Bytes of all pages that one file loads at most. A header of 32 bytes is enough for 2 MiB of zeros, or of data that other headers have too, and each page is
/// measured: without a bound a small file takes hours.
const MOST_LOADED: u64 = 16 << 30;

/// What is loaded.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Pages, in order.
    pub(super) pieces: Vec<Piece>,
    /// Memory that is there beside.
    pub(super) required: Vec<Span>,
    /// How vCPUs begin.
    pub(super) contexts: Contexts,
    /// What the launch must end in.
    pub(super) id_block: Option<IdBlock>,
    areas: Areas,
    /// Bytes of all pages.
    loaded: u64,
}

/// # Errors
/// A header is broken, not known and not optional, or asks for what the platform has not.
pub(super) fn read(file: &File, target: &Target, notes: &mut Notes) -> Result<Content, ImageError> {
    let mut content = Content::default();
    for raw in walk::headers(file) {
        let raw = raw?;
        match raw.section() {
            Some(Section::Directive) => content.take(&raw, file, target, notes)?,
            Some(Section::Platform | Section::Initialization) => {}
            None => platform::unknown(&raw, notes)?,
        }
    }
    Ok(content)
}

impl Content {
    fn take(
        &mut self,
        raw: &Raw<'_>,
        file: &File,
        target: &Target,
        notes: &mut Notes,
    ) -> Result<(), ImageError> {
        match raw.kind {
            Kind::IGVM_VHT_PAGE_DATA => {
                let piece = pages::read(raw, file, target, notes)?;
                self.load(raw, piece)?;
            }
            Kind::IGVM_VHT_PARAMETER_AREA => self.areas.declare(raw, file)?,
            Kind::IGVM_VHT_PARAMETER_INSERT => {
                let piece = self.areas.insert(raw, target)?;
                self.load(raw, piece)?;
            }
            Kind::IGVM_VHT_VP_COUNT_PARAMETER
            | Kind::IGVM_VHT_ENVIRONMENT_INFO_PARAMETER
            | Kind::IGVM_VHT_SRAT
            | Kind::IGVM_VHT_MADT
            | Kind::IGVM_VHT_SLIT
            | Kind::IGVM_VHT_PPTT
            | Kind::IGVM_VHT_MMIO_RANGES
            | Kind::IGVM_VHT_MEMORY_MAP
            | Kind::IGVM_VHT_COMMAND_LINE
            | Kind::IGVM_VHT_DEVICE_TREE => self.areas.parameter(raw)?,
            Kind::IGVM_VHT_VP_CONTEXT => self.contexts.add(raw, file, target, notes)?,
            Kind::IGVM_VHT_REQUIRED_MEMORY => self.required_memory(raw, target, notes)?,
            Kind::IGVM_VHT_ERROR_RANGE => self.error_range(raw, target, notes)?,
            Kind::IGVM_VHT_SNP_ID_BLOCK => self.id_block(raw, target)?,
            Kind::IGVM_VHT_VBS_MEASUREMENT => {
                if target.takes(mask_of(raw)?) {
                    notes.once(Severity::Note, "VBS_MEASUREMENT", raw.offset, || {
                        "the measurement is for VSM isolation and was not looked at".to_owned()
                    });
                }
            }
            _ => platform::unknown(raw, notes)?,
        }
        Ok(())
    }

    fn load(&mut self, raw: &Raw<'_>, piece: Option<Piece>) -> Result<(), ImageError> {
        let Some(piece) = piece else {
            return Ok(());
        };
        let bytes = piece.pages.saturating_mul(PAGE_BYTES);
        self.loaded = self.loaded.saturating_add(bytes);
        if self.loaded > MOST_LOADED {
            return Err(raw.wrong(format!(
                "with the {bytes:#x} bytes at GPA {:#x}, pages are more than {} in all; make the file with fewer: memory that a guest accepts itself needs no pages",
                piece.gpa,
                Size(MOST_LOADED)
            )));
        }
        self.contexts.pages_follow();
        self.pieces.push(piece);
        Ok(())
    }

    fn required_memory(
        &mut self,
        raw: &Raw<'_>,
        target: &Target,
        notes: &mut Notes,
    ) -> Result<(), ImageError> {
        let header: IGVM_VHS_REQUIRED_MEMORY = raw.read()?;
        if !target.takes(header.compatibility_mask) {
            return Ok(());
        }
        if header.flags.vtl2_protectable() {
            notes.once(Severity::Warning, "VTL2_PROTECTABLE", raw.offset, || {
                format!("the memory at {:#x} is to be kept from lower VTLs, which KVM cannot do; it is plain memory of the guest", header.gpa)
            });
        }
        let span = Span::new(raw, header.gpa, header.number_of_bytes.into())?;
        self.required.extend(span);
        Ok(())
    }

    fn error_range(
        &mut self,
        raw: &Raw<'_>,
        target: &Target,
        notes: &mut Notes,
    ) -> Result<(), ImageError> {
        let header: IGVM_VHS_ERROR_RANGE = raw.read()?;
        if !target.takes(header.compatibility_mask) {
            return Ok(());
        }
        notes.once(Severity::Note, "ERROR_RANGE", raw.offset, || {
            format!(
                "the guest reports errors in {:#x} bytes of shared memory at {:#x}; nothing is loaded there, and no host reads it",
                header.size_bytes, header.gpa
            )
        });
        let span = Span::new(raw, header.gpa, header.size_bytes.into())?;
        self.required.extend(span);
        Ok(())
    }

    fn id_block(&mut self, raw: &Raw<'_>, target: &Target) -> Result<(), ImageError> {
        let header: IGVM_VHS_SNP_ID_BLOCK = raw.read()?;
        if !target.takes(header.compatibility_mask) {
            return Ok(());
        }
        if self.id_block.replace(IdBlock::new(raw, header)?).is_some() {
            return Err(raw.wrong("there is one already for this platform; make the file with one"));
        }
        Ok(())
    }
}
