//! A kernel as an ELF executable: `vmlinux`, a unikernel, or a test of a few instructions. For `kvm` and `sim`.
//!
//! What the program headers say is loaded at their *physical* addresses (`p_paddr`), and what surrounds it is that of
//! Linux's boot protocol (`image/linux_boot`): 64-bit executables begin in 64-bit mode with identity page tables, 32-bit ones in flat protected
//! mode without paging. The first instruction is at `e_entry`, a physical address as in `vmlinux`; if no segment has that one, it is
//! taken for a virtual address and translated by the segment that has it, as QEMU does.
//!
//! | in the file | in the plan |
//! |---|---|
//! | PT_LOAD with bytes | NORMAL pages; bytes of the first and last page that are no segment's are zeros |
//! | segments that share a page | one extent, with the bytes of all |
//! | memory beyond the bytes (bss) | ZERO pages, where a page has no bytes of the file at all |
//! | everything else, symbols for example | nothing |
//!
//! **Invariant:** no byte of a segment is left out, and none is in two places; relocations are never applied.

mod entry;
mod extents;
mod headers;

use super::{
    ImageError, Input, Options,
    linux_boot::{Kernel, Mode, Needs, Span, platform},
    unused,
};
use crate::{
    addr::Gpa,
    plan::{Finding, Plan, Severity},
};

use headers::Headers;

/// Linux's COMMAND_LINE_SIZE for x86 (arch/x86/include/asm/setup.h), with the final zero.
const COMMAND_LINE_SIZE: u64 = 2048;
/// Where Linux for x86-64 takes no initrd any more (`initrd_addr_max`, arch/x86/boot/header.S).
const INITRD_LIMIT: u64 = 0x8000_0000;
/// Places that memory is made for; more regions than a daemon takes by default are of no use.
const MOST_REGIONS: usize = 32;

/// Whether it begins as an ELF file does.
#[must_use]
pub fn recognises(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

/// The plan of an executable.
///
/// # Errors
/// It is none for a PC, or lies, or does not fit the guest's memory.
pub fn load(input: &Input, options: &Options) -> Result<Plan, ImageError> {
    let plan = plan(input, options).map_err(|error| error.of(&input.name))?;
    Ok(unused::told(plan, options))
}

fn plan(input: &Input, options: &Options) -> Result<Plan, ImageError> {
    let platform = platform(options)?;
    let headers = Headers::parse(&input.bytes)?;
    let extents = extents::extents(&input.bytes, &headers)?;
    let spans: Vec<Span> = extents
        .iter()
        .filter_map(|extent| Span::between(extent.gpa(), extent.end()))
        .collect();
    let initrd_limit = Gpa::new(INITRD_LIMIT);
    let mut space = Needs {
        spans: &spans,
        initrd_limit,
    }
    .memory(options)?;
    if options.memory.is_empty() && space.memory().len() > MOST_REGIONS {
        let problem = format!(
            "the segments lie in {} places far apart; give the guest's memory, which has to hold them",
            space.memory().len()
        );
        return Err(ImageError::at(
            "ELF program headers",
            headers.table,
            problem,
        ));
    }
    for (extent, span) in extents.iter().zip(&spans) {
        space.take(extent.name(), *span)?;
    }
    let (mode, format) = match headers.is_64 {
        true => (Mode::Long, "ELF, x86-64"),
        false => (Mode::Flat, "ELF, i386"),
    };
    let kernel = Kernel {
        format: format.to_owned(),
        mode,
        entry: entry::physical(&headers)?,
        extents,
        header: None,
        longest_command_line: COMMAND_LINE_SIZE - 1,
        initrd_limit,
        findings: findings(&headers),
    };
    kernel.plan(platform, space, options)
}

fn findings(headers: &Headers) -> Vec<Finding> {
    let moved = headers.is_dynamic.then(|| {
        let text = "position-independent: it is placed where its segments say, and no relocation is applied; an executable that does not relocate itself has to be linked statically";
        Finding::new(Severity::Note, "NOT_RELOCATED", text).at_offset(16)
    });
    moved.into_iter().collect()
}

#[cfg(test)]
mod tests;
