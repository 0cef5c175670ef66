//! The page with the hashes of kernel, initial RAM disk and command line, which QEMU hands to the guest beside them and SEV-SNP measures
//! (QEMU, target/i386/sev.c: `sev_add_kernel_loader_hashes()`).
//!
//! ```text
//! GUID, bytes │ GUID, bytes, SHA-256 of the command line │ … of the initial RAM disk │ … of the kernel │ zeros up to 16
//! ```
//!
//! The guest's firmware refuses whatever does not have these hashes, so that measuring the page measures all three.
//!
//! **Invariant:** a table of hashes is always where the image says that its firmware looks for it, or there is none.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{
    guid::{Guid, SEV_HASHES},
    sev::Section,
    table::Table,
};
use crate::{
    addr::PAGE_BYTES,
    image::{ImageError, Input, Options},
};

const AREA: &str = "SEV hash table block";
const TABLE: Guid = Guid::new(0x9438_d606, 0x4f22, 0x4cc9, 0xb479_a793_d411_fd21);
const COMMAND_LINE: Guid = Guid::new(0x97d0_2dd8, 0xbd20, 0x4c94, 0xaa78_e771_4d36_ab2a);
const INITRD: Guid = Guid::new(0x44ba_f731, 0x3a2f, 0x4bd7, 0x9af1_41e2_9169_781d);
const KERNEL: Guid = Guid::new(0x4de7_9437, 0xabd2, 0x427f, 0xb835_d5b1_72d2_045b);

/// GUID and length.
const HEADER_BYTES: u16 = 18;
const ENTRY_BYTES: u16 = HEADER_BYTES + 32;
const TABLE_BYTES: u16 = HEADER_BYTES + 3 * ENTRY_BYTES;

/// The bytes of a table of hashes; the last 8 are padding.
fn hash_table(kernel: &Input, initrd: Option<&Input>, append: Option<&str>) -> Vec<u8> {
    let command_line = Sha256::new()
        .chain_update(append.unwrap_or_default())
        .chain_update([0])
        .finalize();
    let initrd = Sha256::digest(initrd.map_or(&[][..], |it| &it.bytes));
    let kernel = Sha256::digest(&kernel.bytes);
    let mut table = Vec::new();
    table.extend(TABLE.bytes());
    table.extend(TABLE_BYTES.to_le_bytes());
    for (guid, hash) in [
        (COMMAND_LINE, command_line),
        (INITRD, initrd),
        (KERNEL, kernel),
    ] {
        table.extend(guid.bytes());
        table.extend(ENTRY_BYTES.to_le_bytes());
        table.extend(hash);
    }
    table.resize(usize::from(TABLE_BYTES).next_multiple_of(16), 0);
    table
}

/// What this KERNEL_HASHES section holds; `None` for zeros, where no kernel is wanted.
///
/// # Errors
/// The firmware would look for the table elsewhere, or not at all, or it does not fit.
pub(super) fn page(
    section: &Section,
    table: &Table<'_>,
    options: &Options,
) -> Result<Option<Bytes>, ImageError> {
    let Some(kernel) = &options.kernel else {
        return Ok(None);
    };
    let hashes = hash_table(kernel, options.initrd.as_ref(), options.append.as_deref());
    let Some(mut area) = table.find(SEV_HASHES, AREA, 8)? else {
        return Err(ImageError::whole(
            AREA,
            "the image has a page for kernel hashes and does not say where in it; give an intact image, or no kernel",
        ));
    };
    let offset = area.offset();
    let (at, room) = (u64::from(area.u32()?), u64::from(area.u32()?));
    let inside = at.checked_sub(section.gpa.bytes());
    let end = inside.map(|it| it + hashes.len() as u64);
    let problem = if room < hashes.len() as u64 {
        format!(
            "its {room:#x} bytes do not hold the table of {:#x}",
            hashes.len()
        )
    } else if section.size != PAGE_BYTES {
        format!(
            "its section has {:#x} bytes and not one page of {PAGE_BYTES:#x}",
            section.size
        )
    } else if end.is_none_or(|end| end > section.size) {
        format!(
            "its table at {at:#x} is not in the measured page at {}",
            section.gpa
        )
    } else {
        let before = inside.and_then(|it| usize::try_from(it).ok());
        let mut page = vec![0; before.unwrap_or_default()];
        page.extend(hashes);
        page.resize(4096, 0);
        return Ok(Some(page.into()));
    };
    let problem = format!("{problem}; give an intact image, or no kernel");
    Err(ImageError::at(AREA, offset, problem))
}
