//! The setup header (Documentation/arch/x86/boot.rst), and what of it can be believed.
//!
//! **Invariant:** `code` is in the file, and shorter than what the kernel claims in memory.

use std::ops::Range;

use crate::{
    addr::Gpa,
    image::{
        ImageError,
        linux_boot::{HEADER, Span},
    },
};

const SYSSIZE: usize = 0x1f4;
const BOOT_FLAG: usize = 0x1fe;
/// The second byte of a jump over the header, from 0x202 on.
const LENGTH: usize = 0x201;
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const LOADFLAGS: usize = 0x211;
const INITRD_ADDR_MAX: usize = 0x22c;
const KERNEL_ALIGNMENT: usize = 0x230;
const RELOCATABLE: usize = 0x234;
const XLOADFLAGS: usize = 0x236;
const CMDLINE_SIZE: usize = 0x238;
const PREF_ADDRESS: usize = 0x258;
const INIT_SIZE: usize = 0x260;
/// Behind the last field that is read.
const FIELDS_END: usize = INIT_SIZE + 4;

const SECTOR: usize = 512;
/// What 0 sectors of setup mean.
const SETUP_SECTORS: usize = 4;
const PARAGRAPH: u64 = 16;
/// Linux 3.8: the first with xloadflags.
const LEAST_VERSION: u16 = 0x20c;
const LOADED_HIGH: u8 = 1;
const KERNEL_64: u16 = 1;
/// 64-bit code begins here, so there is more.
const LEAST_CODE: u64 = 0x200;
const LIMIT: u64 = 1 << 32;

/// What is used of it.
#[derive(Debug)]
pub(super) struct Header<'a> {
    /// The header itself, from 0x1f1 on.
    pub(super) bytes: &'a [u8],
    /// Where the protected-mode code is in the file.
    pub(super) code: Range<usize>,
    version: u16,
    /// The highest address that a byte of an initrd may have.
    pub(super) initrd_last: u32,
    pub(super) is_relocatable: bool,
    alignment: u32,
    /// The longest command line, without the final zero.
    pub(super) command_line: u32,
    preferred: u64,
    /// Memory that it needs from its load address on.
    init_size: u32,
}

pub(super) fn is_there(file: &[u8]) -> bool {
    field(file, BOOT_FLAG) == Some([0x55, 0xaa]) && field(file, MAGIC) == Some(*b"HdrS")
}

impl<'a> Header<'a> {
    pub(super) fn parse(file: &'a [u8]) -> Result<Self, ImageError> {
        if !is_there(file) {
            return Err(wrong(
                MAGIC,
                "no `HdrS` here, or no boot flag 0xaa55 at 0x1fe; give a bzImage of Linux",
            ));
        }
        let version = u16::from_le_bytes(read(file, VERSION)?);
        if version < LEAST_VERSION {
            return Err(wrong(
                VERSION,
                format!(
                    "boot protocol {}; give a kernel with {} or later, that is Linux 3.8",
                    spelled(version),
                    spelled(LEAST_VERSION)
                ),
            ));
        }
        let [length] = read(file, LENGTH)?;
        let end = MAGIC + usize::from(length);
        let bytes = file.get(HEADER..end).filter(|_| end >= FIELDS_END);
        let Some(bytes) = bytes else {
            let problem = format!(
                "the header ends at {end:#x}, before its fields ({FIELDS_END:#x}) or behind the file; give a whole bzImage"
            );
            return Err(wrong(LENGTH, problem));
        };
        let [loadflags] = read(file, LOADFLAGS)?;
        if loadflags & LOADED_HIGH == 0 {
            let problem = "a zImage, which is loaded below 1 MiB (loadflags bit 0 is not set); build a bzImage";
            return Err(wrong(LOADFLAGS, problem));
        }
        let xloadflags = u16::from_le_bytes(read(file, XLOADFLAGS)?);
        if xloadflags & KERNEL_64 == 0 {
            let problem = format!(
                "no 64-bit entry (xloadflags {xloadflags:#x}, bit 0 is not set); build it with CONFIG_X86_64"
            );
            return Err(wrong(XLOADFLAGS, problem));
        }
        let code = code(file)?;
        let init_size = u32::from_le_bytes(read(file, INIT_SIZE)?);
        if (init_size as usize) < code.len() {
            let problem = format!(
                "init_size is {init_size:#x} bytes of memory, fewer than the {:#x} that are loaded; give an image as Linux's build made it",
                code.len()
            );
            return Err(wrong(INIT_SIZE, problem));
        }
        let [is_relocatable] = read(file, RELOCATABLE)?;
        Ok(Self {
            bytes,
            code,
            version,
            initrd_last: u32::from_le_bytes(read(file, INITRD_ADDR_MAX)?),
            is_relocatable: is_relocatable != 0,
            alignment: u32::from_le_bytes(read(file, KERNEL_ALIGNMENT)?),
            command_line: u32::from_le_bytes(read(file, CMDLINE_SIZE)?),
            preferred: u64::from_le_bytes(read(file, PREF_ADDRESS)?),
            init_size,
        })
    }

    /// For people: `2.15`.
    pub(super) fn version(&self) -> String {
        spelled(self.version)
    }

    /// The memory that it prefers.
    pub(super) fn preferred(&self) -> Result<Span, ImageError> {
        let start = Gpa::new(self.preferred);
        let span = Span::of(start, self.init_size.into());
        span.filter(|span| span.start == start && span.end.bytes() <= LIMIT)
            .ok_or_else(|| {
                let problem = format!(
                    "pref_address {start} with {:#x} bytes is no page of 0x1000 bytes, or not below 4 GiB; give an image as Linux's build made it",
                    self.init_size
                );
                wrong(PREF_ADDRESS, problem)
            })
    }

    /// Multiples of what it can be moved to; `None` if it cannot be.
    pub(super) fn alignment(&self) -> Result<Option<u64>, ImageError> {
        if self.is_relocatable && !self.alignment.is_power_of_two() {
            let problem = format!(
                "kernel_alignment is {:#x}, no power of two; give memory where the kernel prefers to be, GPA {:#x}",
                self.alignment, self.preferred
            );
            return Err(wrong(KERNEL_ALIGNMENT, problem));
        }
        Ok(self.is_relocatable.then_some(self.alignment.into()))
    }
}

/// The protected-mode code. Behind it a file may have a signature.
fn code(file: &[u8]) -> Result<Range<usize>, ImageError> {
    let [sectors] = read(file, HEADER)?;
    let sectors = match sectors {
        0 => SETUP_SECTORS,
        sectors => sectors.into(),
    };
    let start = (1 + sectors) * SECTOR;
    let bytes = u64::from(u32::from_le_bytes(read(file, SYSSIZE)?)) * PARAGRAPH;
    if bytes <= LEAST_CODE {
        let problem = format!(
            "syssize says {bytes:#x} bytes of code, which end before their 64-bit entry; give a whole bzImage"
        );
        return Err(wrong(SYSSIZE, problem));
    }
    let end = usize::try_from(bytes)
        .ok()
        .and_then(|bytes| start.checked_add(bytes));
    let end = end.filter(|end| *end <= file.len());
    let Some(end) = end else {
        let problem = format!(
            "syssize says {bytes:#x} bytes of code from offset {start:#x} on, and the file has {:#x} in all; give a whole bzImage",
            file.len()
        );
        return Err(wrong(SYSSIZE, problem));
    };
    Ok(start..end)
}

fn spelled(version: u16) -> String {
    format!("{}.{}", version >> 8, version & 0xff)
}

fn read<const N: usize>(file: &[u8], at: usize) -> Result<[u8; N], ImageError> {
    field(file, at)
        .ok_or_else(|| wrong(at, "the file ends inside the header; give a whole bzImage"))
}

fn field<const N: usize>(file: &[u8], at: usize) -> Option<[u8; N]> {
    file.get(at..)?.first_chunk().copied()
}

fn wrong(at: usize, problem: impl Into<String>) -> ImageError {
    ImageError::at("bzImage setup header", at as u64, problem)
}
