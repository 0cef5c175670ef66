//! What a host tells a guest in parameter areas, as far as a loader without ACPI tables and devices can.
//!
//! | parameter | what is written |
//! |-----------|-----------------|
//! | VP count | how many vCPUs the plan has |
//! | environment | 0: memory is private, because a launch host sets every region private before the first page |
//! | memory map | the regions, by address, then an empty entry; a region that ends at 4 GiB is the firmware's own and reserved |
//! | command line | what was given to append, and a zero byte |
//! | MMIO ranges | none |
//! | SRAT, SLIT, PPTT, MADT, device tree | nothing: a finding, an error where guests read all they know from it |
//!
//! **Invariant:** writes inside its area or refuses; what it cannot give stays as the image has it.

use igvm_defs::{IGVM_VHS_MEMORY_MAP_ENTRY, IgvmVariableHeaderType as Kind, MemoryMapEntryType};
use zerocopy::IntoBytes as _;

use super::{
    super::ImageError,
    areas::{Area, Parameter},
    fixed::File,
    notes::Notes,
};
use crate::{
    addr::{PAGE_BYTES, Region},
    plan::Severity,
};

/// Where firmware ends on a PC.
const FOUR_GIB: u64 = 1 << 32;

/// What parameters are made of.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// How many vCPUs.
    pub(super) vcpus: u32,
    /// The guest's memory, by address.
    pub(super) memory: &'a [Region],
    /// Whether it is what was asked for, or the least that the image needs.
    pub(super) memory_is_given: bool,
    /// The command line.
    pub(super) append: Option<&'a str>,
}

/// An area as it is installed.
#[derive(Debug)]
pub(super) struct Filled {
    /// Its bytes; `None` if they are zeros.
    pub(super) bytes: Option<Vec<u8>>,
    /// What people call it.
    pub(super) name: String,
    /// Whether the command line is in it.
    pub(super) has_command_line: bool,
}

/// The area with all that can be written to it.
///
/// # Errors
/// Something does not fit behind its offset.
pub(super) fn fill(
    file: &File,
    area: &Area,
    facts: &Facts<'_>,
    notes: &mut Notes,
) -> Result<Filled, ImageError> {
    let length = usize::try_from(area.bytes).unwrap_or(usize::MAX);
    let mut bytes = match &area.initial {
        Some(range) => file.slice(range.clone()).to_vec(),
        None => vec![0; length],
    };
    for parameter in &area.parameters {
        let value = value(parameter, facts, notes)?;
        let room = bytes.get_mut(parameter.at as usize..).unwrap_or_default();
        let Some((place, _)) = room.split_at_mut_checked(value.len()) else {
            let problem = format!(
                "the {} has {:#x} bytes, and area {} has {:#x} behind {:#x}; make the image with a larger area, or give it less",
                word(parameter.kind),
                value.len(),
                area.index,
                room.len(),
                parameter.at
            );
            return Err(ImageError::at("IGVM parameter", parameter.offset, problem));
        };
        place.copy_from_slice(&value);
    }
    let words: Vec<_> = { area.parameters.iter() }.map(|it| word(it.kind)).collect();
    let name = match words.is_empty() {
        true => format!("parameter area {}", area.index),
        false => format!("parameter area {}: {}", area.index, words.join(", ")),
    };
    let has_command_line =
        { area.parameters.iter() }.any(|it| it.kind == Kind::IGVM_VHT_COMMAND_LINE);
    Ok(Filled {
        bytes: bytes.iter().any(|byte| *byte != 0).then_some(bytes),
        name,
        has_command_line,
    })
}

/// What is written for a parameter; empty for what cannot be given.
fn value(
    parameter: &Parameter,
    facts: &Facts<'_>,
    notes: &mut Notes,
) -> Result<Vec<u8>, ImageError> {
    let offset = parameter.offset;
    match parameter.kind {
        Kind::IGVM_VHT_VP_COUNT_PARAMETER => Ok(facts.vcpus.to_le_bytes().to_vec()),
        Kind::IGVM_VHT_ENVIRONMENT_INFO_PARAMETER => Ok(vec![0; 4]),
        Kind::IGVM_VHT_MMIO_RANGES => Ok(vec![0; 32]),
        Kind::IGVM_VHT_COMMAND_LINE => command_line(offset, facts.append),
        Kind::IGVM_VHT_MEMORY_MAP => {
            if !facts.memory_is_given {
                notes.once(Severity::Warning, "MEMORY_MAP", offset, || {
                    "the guest reads from its memory map that it has the memory that its image needs, and none beside; give it memory".to_owned()
                });
            }
            Ok(memory_map(facts.memory))
        }
        kind => {
            let needed = matches!(kind, Kind::IGVM_VHT_MADT | Kind::IGVM_VHT_DEVICE_TREE);
            let (severity, code) = match needed {
                true => (Severity::Error, "PARAMETER_MISSING"),
                false => (Severity::Warning, "PARAMETER_EMPTY"),
            };
            notes.once(severity, code, offset, || {
                format!("the guest is to be given a {}, which stagepages has not; it finds there what the image has, or zeros: give an image that goes without, or stage that page yourself", word(kind))
            });
            Ok(Vec::new())
        }
    }
}

fn command_line(offset: u64, append: Option<&str>) -> Result<Vec<u8>, ImageError> {
    let Some(text) = append else {
        return Ok(Vec::new());
    };
    if !text.is_ascii() || text.contains('\0') {
        let problem = "the command line of an image is ASCII, and ends at its first zero byte; give one without other characters";
        return Err(ImageError::at("IGVM parameter", offset, problem));
    }
    Ok([text.as_bytes(), &[0]].concat())
}

fn memory_map(regions: &[Region]) -> Vec<u8> {
    let entry = |region: &Region| {
        let start = region.gpa.bytes();
        let is_firmware = start.saturating_add(region.size) == FOUR_GIB;
        IGVM_VHS_MEMORY_MAP_ENTRY {
            starting_gpa_page_number: start / PAGE_BYTES,
            number_of_pages: region.size / PAGE_BYTES,
            entry_type: match is_firmware {
                true => MemoryMapEntryType::PLATFORM_RESERVED,
                false => MemoryMapEntryType::MEMORY,
            },
            flags: 0,
            reserved: 0,
        }
    };
    let mut map: Vec<u8> = Vec::new();
    for region in regions {
        map.extend_from_slice(entry(region).as_bytes());
    }
    map.resize(map.len() + size_of::<IGVM_VHS_MEMORY_MAP_ENTRY>(), 0);
    map
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::IGVM_VHT_VP_COUNT_PARAMETER => "VP count",
        Kind::IGVM_VHT_ENVIRONMENT_INFO_PARAMETER => "environment",
        Kind::IGVM_VHT_SRAT => "SRAT",
        Kind::IGVM_VHT_MADT => "MADT",
        Kind::IGVM_VHT_SLIT => "SLIT",
        Kind::IGVM_VHT_PPTT => "PPTT",
        Kind::IGVM_VHT_MMIO_RANGES => "MMIO ranges",
        Kind::IGVM_VHT_MEMORY_MAP => "memory map",
        Kind::IGVM_VHT_COMMAND_LINE => "command line",
        Kind::IGVM_VHT_DEVICE_TREE => "device tree",
        _ => "parameter",
    }
}
