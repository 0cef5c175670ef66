//! What is launched of an OVMF on SEV-SNP: the pages that QEMU installs, in its order, and the vCPUs as QEMU resets them.
//!
//! ```text
//! image ── NORMAL, up to 4 GiB
//! sections in their order:  SNP_SEC_MEM, SVSM_CAA ── ZERO        SECRETS ── SECRETS        CPUID ── CPUID
//!                           KERNEL_HASHES ── NORMAL with a kernel, ZERO without
//! ```
//!
//! That order and those types are `snp_populate_metadata_pages()` and what it calls in QEMU, target/i386/sev.c; sev-snp-measure and the `sev` crate
//! model the same, and the tests hold this against the latter.
//!
//! **Invariant:** a section whose type is not known is never staged in the hope that it will do: how it is measured is not known.

use super::{
    guid::SEV_RESET,
    hashes, memory, rom,
    sev::{self, Kind, Section},
    table::Table,
    vcpus,
};
use crate::{
    addr::PAGE_BYTES,
    image::{ImageError, Input, Options},
    plan::{Contents, Extent, Finding, Plan, Severity},
    v1::{PageType, Platform},
};

const CPUID: &str = "CPUID page";
const RESET: &str = "SEV-ES reset block";

pub(super) fn plan(
    input: &Input,
    options: &Options,
    platform: Platform,
    table: &Table<'_>,
) -> Result<Plan, ImageError> {
    let image = &input.bytes;
    let rom = rom::extent(image)?;
    let sections = sev::read(image, table, rom::place(&rom))?;
    let mut findings = table.unknown();
    check_kernel(&sections, options)?;

    let mut extents = vec![rom];
    for section in &sections {
        let page_type = match section.kind {
            _ if section.size == 0 => {
                findings.push(left_out(section));
                continue;
            }
            Kind::Unknown(number) => {
                findings.push(unknown(section, number));
                continue;
            }
            Kind::Memory | Kind::CallingArea => PageType::Zero,
            Kind::Secrets => PageType::Secrets,
            Kind::Cpuid => {
                let page = cpuid_page(section, options, &mut findings)?;
                extents.extend(of_bytes(section, PageType::Cpuid, page));
                continue;
            }
            Kind::KernelHashes => {
                if let Some(page) = hashes::page(section, table, options)? {
                    let page = Contents::Bytes(page);
                    extents.extend(of_bytes(section, PageType::Normal, page));
                    continue;
                }
                PageType::Zero
            }
        };
        let pages = section.size / PAGE_BYTES;
        extents.extend(Extent::zeros(
            section.gpa,
            page_type,
            pages,
            section.kind.name(),
        ));
    }
    let (memory, note) = memory::of(&extents, &options.memory)?;
    findings.extend(note);
    let count = vcpus::count(options)?;
    let others = match count {
        1 => 0,
        _ => reset_address(table)?,
    };
    Ok(Plan {
        platform,
        format: "OVMF with SEV metadata".to_owned(),
        memory,
        extents,
        vcpus: vcpus::snp(count, others, options.cpu_signature),
        sev_snp: { options.sev_snp.settings() }.filter(|_| platform == Platform::SevSnp),
        tdx: None,
        finish: None,
        expected_digest: None,
        findings,
    })
}

/// The section's pages with these bytes, which are never empty.
fn of_bytes(section: &Section, page_type: PageType, contents: Contents) -> Option<Extent> {
    Extent::new(section.gpa, page_type, contents, section.kind.name())
}

/// Where vCPUs but the first begin.
fn reset_address(table: &Table<'_>) -> Result<u32, ImageError> {
    let way_out = "so only one vCPU can begin; give one, or an OVMF that was built for SEV-ES";
    let Some(mut block) = table.find(SEV_RESET, RESET, 4)? else {
        return Err(ImageError::whole(
            RESET,
            format!("the image has none, {way_out}"),
        ));
    };
    let offset = block.offset();
    match block.u32()? {
        0 => Err(ImageError::at(
            RESET,
            offset,
            format!("its address is 0x0, {way_out}"),
        )),
        address => Ok(address),
    }
}

/// A kernel needs a page for its hashes, or it would not be measured at all.
fn check_kernel(sections: &[Section], options: &Options) -> Result<(), ImageError> {
    let has_page = sections
        .iter()
        .any(|section| section.kind == Kind::KernelHashes && section.size > 0);
    if options.kernel.is_some() && !has_page {
        return Err(ImageError::whole(
            "kernel hashes",
            "the image has no page for them, so that it would boot a kernel that nothing measures; give no kernel, or an OVMF that was built with kernel hashes (OvmfPkg/AmdSev)",
        ));
    }
    Ok(())
}

fn cpuid_page(
    section: &Section,
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Result<Contents, ImageError> {
    let Some(page) = &options.cpuid_page else {
        let text = "no CPUID page was given, so one without leaves is installed; its contents are not in the digest, and firmware takes it, and a guest that trusts it alone finds no feature there: give the page that the guest is to see";
        findings.push(
            Finding::new(Severity::Warning, "CPUID_WITHOUT_LEAVES", text)
                .at(section.gpa)
                .at_offset(section.offset),
        );
        return Ok(Contents::Bytes(vec![0; 4096].into()));
    };
    let length = page.len() as u64;
    if length == 0 || length > PAGE_BYTES {
        let problem = format!("it has {length:#x} bytes; give 0x1 to {PAGE_BYTES:#x}");
        return Err(ImageError::whole(CPUID, problem));
    }
    Ok(Contents::Bytes(page.clone()))
}

fn unknown(section: &Section, number: u32) -> Finding {
    let text = format!(
        "SEV metadata section of type {number:#x} and {:#x} bytes is not known here; its type decides how it is measured, so it is not in the plan and the digest is not that of a launch with it: give an image without it",
        section.size
    );
    Finding::new(Severity::Error, "UNKNOWN_SECTION", text)
        .at(section.gpa)
        .at_offset(section.offset)
}

fn left_out(section: &Section) -> Finding {
    let text = format!(
        "{} has no pages, so nothing is installed for it",
        section.place()
    );
    Finding::new(Severity::Note, "EMPTY_SECTION", text).at_offset(section.offset)
}
