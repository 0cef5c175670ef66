//! Firmware images built with EDK2: OVMF for SEV-SNP and for plain VMs, TDVF for TDX.
//!
//! ```text
//!                        ┌─ SEV metadata ──▶ snp: sections and vCPUs as QEMU has them ──┐
//! image ──▶ GUID table ──┼─ TDVF descriptor ▶ tdx: sections, hand-off block ────────────┼──▶ Plan
//!                        └─ neither ───────▶ the image alone, on kvm ───────────────────┘
//! ```
//!
//! One image often has both kinds of metadata. Then who plans says which platform is meant; the image does not.
//!
//! **Invariant:** what an image claims is checked before it is believed: every structure lies in the file, every section in the address space and apart
//! from the others, and memory without bytes is bounded.

mod fields;
mod guid;
mod hashes;
mod hob;
mod memory;
mod rom;
mod sections;
mod sev;
mod snp;
mod table;
mod tdvf;
mod tdx;
mod vcpus;

use super::{ImageError, Input, Options, unused};
use crate::{plan::Plan, v1::Platform};
use table::Table;

/// What a firmware volume has at byte 40 (PI specification, volume 3, EFI_FIRMWARE_VOLUME_HEADER).
const VOLUME_SIGNATURE: &[u8] = b"_FVH";
const VOLUME_SIGNATURE_AT: u64 = 40;

/// Whether these bytes look like such an image: they end with a table of GUIDs, or begin with a firmware volume.
#[must_use]
pub fn recognises(bytes: &[u8]) -> bool {
    let signature = fields::part(bytes, VOLUME_SIGNATURE_AT, VOLUME_SIGNATURE.len() as u64);
    table::is_there(bytes) || signature == Some(VOLUME_SIGNATURE)
}

/// The plan of an image.
///
/// # Errors
/// The image contradicts itself, is not for the platform that was asked for, is for several and none was; or an option makes no sense with it.
pub fn load(input: &Input, options: &Options) -> Result<Plan, ImageError> {
    let plan = plan(input, options).map_err(|error| error.of(&input.name))?;
    Ok(unused::told(plan, options))
}

fn plan(input: &Input, options: &Options) -> Result<Plan, ImageError> {
    let table = Table::read(&input.bytes)?;
    if table
        .find(guid::SVSM_INFO, "SVSM information", 0)?
        .is_some()
    {
        let problem = "the image is an SVSM, which lies below a firmware and not at 4 GiB; give an IGVM file of both";
        return Err(ImageError::whole("SVSM information", problem));
    }
    check_together(options)?;
    match platform(&table, options)? {
        platform @ (Platform::SevSnp | Platform::Sim) => {
            snp::plan(input, options, platform, &table)
        }
        Platform::Tdx => {
            check_no_kernel(
                options,
                "MRTD does not cover a kernel: the firmware measures it into RTMRs when it boots; give no kernel",
            )?;
            tdx::plan(input, options, &table)
        }
        Platform::Kvm | Platform::Unspecified => plain(input, options, &table),
    }
}

/// The platform that was asked for, or the one that the image is for. Plain memory is never chosen: an image for a confidential guest may bring secrets.
fn platform(table: &Table<'_>, options: &Options) -> Result<Platform, ImageError> {
    if let Some(platform) = options.platform.filter(|it| *it != Platform::Unspecified) {
        return Ok(platform);
    }
    match (sev::is_there(table)?, tdvf::is_there(table)?) {
        (true, false) => Ok(Platform::SevSnp),
        (false, true) => Ok(Platform::Tdx),
        (true, true) => Err(ImageError::whole(
            "platform",
            "the image is for sev-snp and for tdx; choose one, or sim or kvm",
        )),
        (false, false) => Err(ImageError::whole(
            "platform",
            "the image has no metadata for sev-snp or tdx; choose kvm, or give an OVMF that was built for one of them",
        )),
    }
}

/// Refuses options that only make sense together.
fn check_together(options: &Options) -> Result<(), ImageError> {
    let alone = match options {
        Options {
            kernel: Some(_), ..
        } => return Ok(()),
        Options {
            initrd: Some(_), ..
        } => "an initial RAM disk",
        Options {
            append: Some(_), ..
        } => "a command line",
        _ => return Ok(()),
    };
    let problem =
        format!("{alone} was given and no kernel; give the kernel that it is for, or neither");
    Err(ImageError::whole("kernel", problem))
}

/// Refuses a kernel where nothing of it would be staged or measured.
fn check_no_kernel(options: &Options, why: &str) -> Result<(), ImageError> {
    match options.kernel {
        None => Ok(()),
        Some(_) => Err(ImageError::whole("kernel", why)),
    }
}

/// The image alone, and vCPUs that begin in it.
fn plain(input: &Input, options: &Options, table: &Table<'_>) -> Result<Plan, ImageError> {
    check_no_kernel(
        options,
        "on kvm the image is staged alone, and fetches a kernel from its VMM; give no kernel, or stage the kernel as an image of its own",
    )?;
    let extents = vec![rom::extent(&input.bytes)?];
    let (memory, note) = memory::of(&extents, &options.memory)?;
    let mut findings = table.unknown();
    findings.extend(note);
    Ok(Plan {
        platform: Platform::Kvm,
        format: "OVMF".to_owned(),
        memory,
        extents,
        vcpus: vcpus::reset(vcpus::count(options)?),
        sev_snp: None,
        tdx: None,
        finish: None,
        expected_digest: None,
        findings,
    })
}
