//! The headers of an executable, read by the `object` crate and judged here.
//!
//! **Invariant:** a segment that is returned has its bytes in the file, fits the address space, and is not empty.

use object::{
    Endianness,
    elf::{EM_386, EM_X86_64, ET_DYN, ET_EXEC, FileHeader32, FileHeader64, PT_INTERP, PT_LOAD},
    read::elf::{FileHeader, ProgramHeader},
};

use crate::{
    addr::Gpa,
    image::{ImageError, linux_boot::REACH},
};

const CLASS: usize = 4;
const ENCODING: usize = 5;
const TYPE: u64 = 16;
const MACHINE: u64 = 18;
/// Of a kernel some ten are usual. Each costs a page, however few bytes it has.
const MOST_SEGMENTS: usize = 256;

/// What is known of an executable.
#[derive(Debug)]
pub(super) struct Headers {
    pub(super) is_64: bool,
    pub(super) is_dynamic: bool,
    pub(super) entry: u64,
    /// Offset of the program headers.
    pub(super) table: u64,
    /// By physical address.
    pub(super) segments: Vec<Segment>,
}

/// A segment that is loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// Its number among all program headers.
    pub(super) index: usize,
    /// Offset of its program header.
    pub(super) header: u64,
    /// Where its bytes are in the file.
    pub(super) offset: u64,
    pub(super) file_bytes: u64,
    pub(super) gpa: Gpa,
    pub(super) virtual_address: u64,
    /// No fewer than `file_bytes`.
    pub(super) memory_bytes: u64,
}

impl Segment {
    /// The address behind its memory.
    pub(super) fn end(&self) -> Gpa {
        Gpa::new(self.gpa.bytes() + self.memory_bytes)
    }
}

impl Headers {
    pub(super) fn parse(file: &[u8]) -> Result<Self, ImageError> {
        let ident = |at: usize| file.get(at).copied().unwrap_or_default();
        let wrong =
            |at: usize, problem: &str| Err(ImageError::at("ELF header", at as u64, problem));
        if ident(ENCODING) == 2 {
            return wrong(
                ENCODING,
                "big-endian; a PC is little-endian: give an executable for x86",
            );
        }
        match ident(CLASS) {
            1 => Self::of::<FileHeader32<Endianness>>(file),
            2 => Self::of::<FileHeader64<Endianness>>(file),
            _ => wrong(
                CLASS,
                "neither a 32-bit nor a 64-bit file, or cut off; give a whole executable for x86",
            ),
        }
    }

    fn of<H: FileHeader<Endian = Endianness>>(file: &[u8]) -> Result<Self, ImageError> {
        let torn = |error: object::read::Error| {
            ImageError::at("ELF header", 0, format!("{error}; give a whole executable"))
        };
        let header = H::parse(file).map_err(torn)?;
        let endian = header.endian().map_err(torn)?;
        let is_64 = header.is_type_64();
        let machine = header.e_machine(endian);
        if !(is_64 && machine == EM_X86_64 || !is_64 && machine == EM_386) {
            let problem = format!(
                "machine {:#x} with {} bits; give an executable for x86-64 (0x3e, 64 bits) or i386 (0x3, 32 bits)",
                machine.0,
                if is_64 { 64 } else { 32 }
            );
            return Err(ImageError::at("ELF header", MACHINE, problem));
        }
        let kind = header.e_type(endian);
        if kind != ET_EXEC && kind != ET_DYN {
            let problem = format!(
                "type {:#x} is no executable (0x2, or 0x3 for a position-independent one); link it",
                kind.0
            );
            return Err(ImageError::at("ELF header", TYPE, problem));
        }
        let table = header.e_phoff(endian).into();
        let entry_bytes = u64::from(header.e_phentsize(endian));
        let torn = |error: object::read::Error| {
            let problem = format!("{error}; give a whole executable");
            ImageError::at("ELF program headers", table, problem)
        };
        let mut segments = Vec::new();
        for (index, program) in header
            .program_headers(endian, file)
            .map_err(torn)?
            .iter()
            .enumerate()
        {
            let at = table.saturating_add(entry_bytes.saturating_mul(index as u64));
            match program.p_type(endian) {
                PT_INTERP => {
                    let problem = "it names an interpreter: a program for an operating system, not a kernel; link it statically";
                    return Err(ImageError::at("ELF program header", at, problem));
                }
                PT_LOAD => segments.extend(segment(program, endian, index, at, file)?),
                _ => {}
            }
            if segments.len() > MOST_SEGMENTS {
                let problem = format!(
                    "more than {MOST_SEGMENTS:#x} segments are loaded; merge them when linking"
                );
                return Err(ImageError::at("ELF program header", at, problem));
            }
        }
        if segments.is_empty() {
            let problem = "nothing is loaded (no PT_LOAD with memory); link it as an executable";
            return Err(ImageError::at("ELF program headers", table, problem));
        }
        segments.sort_by_key(|segment| segment.gpa);
        Ok(Self {
            is_64,
            is_dynamic: kind == ET_DYN,
            entry: header.e_entry(endian).into(),
            table,
            segments,
        })
    }
}

/// A segment, if it is not empty.
fn segment<P: ProgramHeader<Endian = Endianness>>(
    program: &P,
    endian: Endianness,
    index: usize,
    at: u64,
    file: &[u8],
) -> Result<Option<Segment>, ImageError> {
    let offset: u64 = program.p_offset(endian).into();
    let file_bytes: u64 = program.p_filesz(endian).into();
    let memory_bytes: u64 = program.p_memsz(endian).into();
    let gpa: u64 = program.p_paddr(endian).into();
    let length = file.len() as u64;
    let problem = if offset
        .checked_add(file_bytes)
        .is_none_or(|end| end > length)
    {
        format!(
            "segment {index} is {file_bytes:#x} bytes at offset {offset:#x}, and the file has {length:#x}; give a whole executable"
        )
    } else if file_bytes > memory_bytes {
        format!(
            "segment {index} has {file_bytes:#x} bytes in the file and only {memory_bytes:#x} in memory; link it again"
        )
    } else if gpa.checked_add(memory_bytes).is_none_or(|end| end > REACH) {
        format!(
            "segment {index} is {memory_bytes:#x} bytes at physical address {gpa:#x}, beyond {REACH:#x}, where a kernel can begin; link it lower"
        )
    } else {
        return Ok((memory_bytes > 0).then_some(Segment {
            index,
            header: at,
            offset,
            file_bytes,
            gpa: Gpa::new(gpa),
            virtual_address: program.p_vaddr(endian).into(),
            memory_bytes,
        }));
    };
    Err(ImageError::at("ELF program header", at, problem))
}
