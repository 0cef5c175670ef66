//! What is launched of a TDVF on TDX: its sections in their order, and the hand-off blocks that tell the guest its memory.
//!
//! ```text
//! attributes   MR.EXTEND ── NORMAL: contents and address measured
//!              none ─────── UNMEASURED: its address is
//!              PAGE.AUG ─── not installed: the guest accepts it
//! ```
//!
//! A page is added and measured before the next one, section after section, as QEMU's calls make mainline KVM do it (`tdx_init_fw_mem_region()`,
//! target/i386/kvm/tdx.c; `tdx_gmem_post_populate()`, arch/x86/kvm/vmx/tdx.c). The image around its sections is not in the guest.
//!
//! **Invariant:** what is installed, and in which order, is the image's to say; only the hand-off blocks are made here.

use bytes::Bytes;

use super::{
    hob, memory, rom,
    table::Table,
    tdvf::{self, Kind, SECTION, Section},
    vcpus,
};
use crate::{
    addr::{Gpa, PAGE_BYTES, Region},
    image::{ImageError, Input, Options},
    plan::{Contents, Extent, Finding, Plan, Severity},
    v1::{PageType, Platform},
};

/// The guest's memory where nobody says: enough for OVMF.
const MEMORY: Region = Region {
    gpa: Gpa::new(0),
    size: 512 << 20,
};

pub(super) fn plan(
    input: &Input,
    options: &Options,
    table: &Table<'_>,
) -> Result<Plan, ImageError> {
    let image = &input.bytes;
    let rom = rom::region(image)?;
    let sections = tdvf::read(image, table)?;
    let mut findings = table.unknown();
    let wanted = match options.memory.is_empty() {
        true => {
            findings.push(default_memory(rom));
            vec![MEMORY, rom]
        }
        false => options.memory.clone(),
    };
    let mut extents = Vec::new();
    for section in &sections {
        findings.extend(remark(section));
        if section.is_installed() && !matches!(section.kind, Kind::Unknown(_)) {
            extents.extend(pages(section, data(section, image)));
        }
    }
    let memory = memory::holding(&extents, &wanted)?;

    let hand_off = sections
        .iter()
        .find(|section| section.kind == Kind::TdHob && section.is_installed());
    match hand_off {
        Some(section) => {
            let blocks = hand_off_blocks(section, &sections, &memory, rom)?;
            let at = extents.iter().position(|it| it.gpa() == section.gpa);
            // Its one extent of zeros gives way to the blocks and the zeros behind them.
            let at = at.unwrap_or(extents.len());
            extents.splice(at..extents.len().min(at + 1), pages(section, blocks));
        }
        None => findings.push(Finding::new(
            Severity::Warning,
            "NO_HAND_OFF",
            "no section is a TD_HOB, so nothing tells the guest its memory, and RCX of every vCPU is 0; give an image that has one",
        )),
    }
    Ok(Plan {
        platform: Platform::Tdx,
        format: "TDVF".to_owned(),
        memory,
        extents,
        vcpus: vcpus::tdx(vcpus::count(options)?, hand_off.map(|it| it.gpa)),
        sev_snp: None,
        tdx: options.tdx.settings(),
        finish: None,
        expected_digest: None,
        findings,
    })
}

/// The bytes that the image has for it.
fn data(section: &Section, image: &Bytes) -> Bytes {
    let range = || {
        let start = usize::try_from(section.data_offset).ok()?;
        let end = start.checked_add(usize::try_from(section.data_size).ok()?)?;
        (end <= image.len()).then_some(start..end)
    };
    range().map_or_else(Bytes::new, |range| image.slice(range))
}

/// Its pages: those with bytes, then zeros up to its size.
fn pages(section: &Section, data: Bytes) -> Vec<Extent> {
    let page_type = match section.is_measured {
        true => PageType::Normal,
        false => PageType::Unmeasured,
    };
    let name = section.kind.name();
    let with_bytes = (data.len() as u64).div_ceil(PAGE_BYTES);
    let zeros = section.size / PAGE_BYTES - with_bytes.min(section.size / PAGE_BYTES);
    let rest = section.gpa.plus_pages(with_bytes);
    let zeros = rest.and_then(|gpa| Extent::zeros(gpa, page_type, zeros, name));
    let bytes = Extent::new(section.gpa, page_type, Contents::Bytes(data), name);
    bytes.into_iter().chain(zeros).collect()
}

/// The list of the guest's memory, in which what is installed needs no acceptance. The image is no memory: it lies where a ROM would.
fn hand_off_blocks(
    section: &Section,
    sections: &[Section],
    memory: &[Region],
    rom: Region,
) -> Result<Bytes, ImageError> {
    let mut installed: Vec<Region> = sections
        .iter()
        .filter(|it| it.is_installed() && !matches!(it.kind, Kind::Unknown(_)))
        .map(|it| Region {
            gpa: it.gpa,
            size: it.size,
        })
        .collect();
    installed.sort_by_key(|region| region.gpa);
    let blocks = hob::list(section.gpa, &hob::without(memory, rom), &installed);
    if blocks.len() as u64 > section.size {
        let problem = format!(
            "TD_HOB has {:#x} bytes, and the list of the guest's memory needs {:#x}; give fewer regions of memory",
            section.size,
            blocks.len()
        );
        return Err(ImageError::at(SECTION, section.offset, problem));
    }
    Ok(blocks.into())
}

/// What is worth saying about a section.
fn remark(section: &Section) -> Option<Finding> {
    let place = section.place();
    let (severity, code, text) = match section.kind {
        _ if section.size == 0 => (
            Severity::Note,
            "EMPTY_SECTION",
            format!("{place} has no pages, so nothing is installed for it"),
        ),
        Kind::Unknown(number) => (
            Severity::Error,
            "UNKNOWN_SECTION",
            format!(
                "TDVF section of type {number:#x} and {:#x} bytes is not known here, nor what it has to hold; it is not in the plan, and the digest is not that of a launch with it: give an image without it",
                section.size
            ),
        ),
        Kind::Payload if section.data_size == 0 && section.is_installed() => (
            Severity::Warning,
            "NO_PAYLOAD",
            format!(
                "{place} has no bytes in the image and is installed as zeros; give an image that brings its payload"
            ),
        ),
        _ if section.is_accepted_later => (
            Severity::Note,
            "ACCEPTED_LATER",
            format!("{place} is the guest's to accept (PAGE.AUG), so nothing is installed for it"),
        ),
        Kind::Bfv
        | Kind::Cfv
        | Kind::TdHob
        | Kind::TempMem
        | Kind::PermMem
        | Kind::Payload
        | Kind::PayloadParam
        | Kind::TdInfo
        | Kind::TdParams => return None,
    };
    Some(
        Finding::new(severity, code, text)
            .at(section.gpa)
            .at_offset(section.offset),
    )
}

fn default_memory(rom: Region) -> Finding {
    let text = format!(
        "no memory was given: the guest is told of {MEMORY}, and the image is at {rom}; it finds that in its hand-off blocks, so give the memory that it is to have"
    );
    Finding::new(Severity::Note, "DEFAULT_MEMORY", text)
}
