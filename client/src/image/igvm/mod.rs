//! IGVM files: one list of commands for several platforms, of which the headers of one are carried out.
//!
//! ```text
//! fixed header, checksum ──▶ variable headers ──▶ platform (which mask) ──▶ initialization (policy) ──▶ directives ──▶ Plan
//!     fixed.rs                   walk.rs             platform.rs              start.rs                  directives.rs
//!                                                                                     pages, areas, contexts, id_block
//! ```
//!
//! The layouts are those of the crates `igvm_defs` and `igvm`. The headers are walked here and not by `igvm::IgvmFile`: that parser copies 4 KiB for each
//! header of 40 bytes, subtracts offsets that a file may choose, asserts what a file may break, refuses optional headers, and its errors have no offsets.
//!
//! # Digests, and who follows KVM
//! The plan ends in what KVM and firmware measure. `igvm::measurement` agrees with it but for these, where KVM decides:
//!
//! | what | `igvm::measurement` | KVM, and so the plan |
//! |------|---------------------|----------------------|
//! | a save area (VMSA) of SEV-SNP | where the file has it, in the order of its headers | after all pages, in order of vCPU index (`snp_launch_update_vmsa()`, arch/x86/kvm/svm/sev.c) |
//! | its address | the file's | always 0xfffffffff000 (same function) |
//! | its contents | the file's 4096 bytes | made of the vCPU's registers (`sev_es_sync_vmsa()`, same file): CR4.MCE is set, and what no ioctl sets is as after reset |
//! | vCPUs without a save area | not measured | measured as they are after reset |
//! | a page of 2 MiB | its first 4 KiB | 512 pages (`kvm_gmem_populate()`, virt/kvm/guest_memfd.c, installs 4 KiB pages) |
//! | SECRETS and CPUID on TDX | as pages with contents | there are none; such a file is refused |
//!
//! Both measure UNMEASURED pages and parameter areas page by page, a NORMAL page without data as a page of zeros, and neither measures shared pages. Each
//! difference that a file shows is a finding with both values.
//!
//! **Invariant:** nothing of the file is copied but parameter areas and pages that are joined into one extent, and of these no more than eight times the
//! file's size; every page that is staged was named by a header for the chosen platform.

mod areas;
mod contexts;
mod directives;
mod fixed;
mod id_block;
mod memory;
mod native;
mod notes;
mod pages;
mod parameters;
mod platform;
mod runs;
mod start;
mod vbs;
mod vcpus;
mod vmsa;
mod walk;

#[cfg(test)]
mod tests;

use super::{ImageError, Input, Options, unused};
use crate::{plan::Plan, v1::Platform};

/// Whether this begins as an IGVM file does.
#[must_use]
pub fn recognises(bytes: &[u8]) -> bool {
    bytes.starts_with(b"IGVM")
}

/// The plan of an IGVM file.
///
/// # Errors
/// It is no such file or a broken one, is for other platforms, or asks for what the platform or `options` cannot give.
pub fn load(input: &Input, options: &Options) -> Result<Plan, ImageError> {
    let plan = plan(input, options).map_err(|error| error.of(&input.name))?;
    Ok(unused::told(plan, options))
}

fn plan(input: &Input, options: &Options) -> Result<Plan, ImageError> {
    refuse_foreign_wishes(options)?;
    let file = fixed::File::open(&input.bytes)?;
    let mut notes = notes::Notes::default();
    let target = platform::choose(&file, options.platform, &mut notes)?;
    let start = start::read(&file, &target, &mut notes)?;
    let content = directives::read(&file, &target, &mut notes)?;

    let memory = memory::regions(&content, &start.required, &options.memory)?;
    let vcpus = vcpus::states(&content.contexts, &target, options, &mut notes)?;
    let count = u32::try_from(vcpus.states.len()).unwrap_or(u32::MAX);
    let facts = parameters::Facts {
        vcpus: count,
        memory: &memory,
        memory_is_given: !options.memory.is_empty(),
        append: options.append.as_deref(),
    };
    let extents = runs::extents(&file, content.pieces, &facts, options, &memory, &mut notes)?;
    let sev_snp = (target.platform == Platform::SevSnp)
        .then(|| start.sev_snp(&options.sev_snp, vcpus.features, &mut notes));
    let tdx = (target.platform == Platform::Tdx).then(|| start.tdx(&options.tdx, &mut notes));
    let finish = { content.id_block.as_ref().zip(sev_snp.as_ref()) }
        .map(|(block, settings)| block.finish(start::policy(settings).number()));
    if let Some(block) = &content.id_block {
        block.note_left_out(target.platform, &mut notes);
    }
    Ok(Plan {
        platform: target.platform,
        format: format!("IGVM version {} for {}", file.version(), target.name()),
        memory,
        extents,
        vcpus: vcpus.states,
        sev_snp: sev_snp.and_then(|it| it.settings()),
        tdx: tdx.and_then(|it| it.settings()),
        finish,
        expected_digest: None,
        findings: notes.take(),
    })
}

fn refuse_foreign_wishes(options: &Options) -> Result<(), ImageError> {
    for (given, flag) in [
        (options.kernel.is_some(), "kernel"),
        (options.initrd.is_some(), "initial RAM disk"),
    ] {
        if given {
            let problem = format!(
                "an IGVM file brings all that it starts, and takes no {flag}; leave it out, or give the firmware that the file was made of"
            );
            return Err(ImageError::whole("options", problem));
        }
    }
    Ok(())
}
