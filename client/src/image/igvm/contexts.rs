//! VP contexts: how vCPUs begin, as the platform has it.
//!
//! **Invariant:** at most one for each vCPU, and none for a vCPU that a launch cannot have.

use std::collections::BTreeMap;

use bytes::Bytes;
use igvm_defs::{IGVM_VHS_VP_CONTEXT, IgvmPlatformType as Platform};

use super::{super::ImageError, fixed::File, notes::Notes, platform::Target, vbs, walk::Raw};
use crate::{addr::PAGE_BYTES, plan::Severity};

/// vCPUs that a launch has at most.
pub(super) const MOST_VCPUS: u32 = 64;

/// The general registers of a structure that has them by their names; the crates have no type in common for it.
macro_rules! general {
    ($it:expr) => {
        $crate::v1::GeneralRegisters {
            rax: $it.rax,
            rbx: $it.rbx,
            rcx: $it.rcx,
            rdx: $it.rdx,
            rsi: $it.rsi,
            rdi: $it.rdi,
            rbp: $it.rbp,
            r8: $it.r8,
            r9: $it.r9,
            r10: $it.r10,
            r11: $it.r11,
            r12: $it.r12,
            r13: $it.r13,
            r14: $it.r14,
            r15: $it.r15,
        }
    };
}
pub(super) use general;

/// The contexts of the chosen platform.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    by_index: BTreeMap<u32, Context>,
    /// Whether KVM measures them in another place than the file has them.
    out_of_order: bool,
}

/// One context.
#[derive(Debug)]
pub(super) struct Context {
    /// Where the image puts it; of SEV-SNP only.
    pub(super) gpa: u64,
    /// What is in it.
    pub(super) bytes: Bytes,
    /// Where its header is.
    pub(super) offset: u64,
}

impl Contexts {
    pub(super) fn add(
        &mut self,
        raw: &Raw<'_>,
        file: &File,
        target: &Target,
        notes: &mut Notes,
    ) -> Result<(), ImageError> {
        let header: IGVM_VHS_VP_CONTEXT = raw.read()?;
        if !target.takes(header.compatibility_mask) {
            return Ok(());
        }
        if target.kind == Platform::TDX {
            return Err(raw.wrong(
                "a vCPU of TDX begins as the TDX module resets it, and has no context; make the file without it",
            ));
        }
        let index = u32::from(header.vp_index);
        if index >= MOST_VCPUS {
            return Err(raw.wrong(format!(
                "vCPU {index}; a launch has at most {MOST_VCPUS}: make the file for fewer"
            )));
        }
        let length = match target.kind {
            Platform::VSM_ISOLATION => vbs::length(raw, file, header.file_offset)?,
            _ => PAGE_BYTES,
        };
        let context = Context {
            gpa: header.gpa.get(),
            bytes: file.slice(file.data(raw, header.file_offset, length)?),
            offset: raw.offset,
        };
        if let Some(first) = self.by_index.get(&index) {
            notes.once(Severity::Error, "VP_CONTEXT_TWICE", raw.offset, || {
                format!(
                    "vCPU {index} has a context at offset {:#x} already, which is the one taken; KVM has one for each vCPU and none for other VTLs: make the file with one",
                    first.offset
                )
            });
            return Ok(());
        }
        self.out_of_order |= self
            .by_index
            .last_key_value()
            .is_some_and(|(last, _)| *last > index);
        self.by_index.insert(index, context);
        Ok(())
    }

    /// More pages are loaded.
    pub(super) fn pages_follow(&mut self) {
        self.out_of_order |= !self.by_index.is_empty();
    }

    /// One more than the largest index; 0 if there are none.
    pub(super) fn vcpus(&self) -> u32 {
        self.by_index
            .last_key_value()
            .map_or(0, |(last, _)| last + 1)
    }

    pub(super) fn get(&self, index: u32) -> Option<&Context> {
        self.by_index.get(&index)
    }

    /// The first, if a file has them elsewhere than behind all pages in order of their indices.
    pub(super) fn out_of_order(&self) -> Option<&Context> {
        let first = self.by_index.values().next();
        first.filter(|_| self.out_of_order)
    }
}
