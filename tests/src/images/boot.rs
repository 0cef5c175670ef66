//! A Linux kernel image for x86: the setup header (Documentation/arch/x86/boot.rst) and code that is no Linux.

use super::put::Bytes;

/// Where its 64-bit code begins, in the guest's physical memory.
pub const BOOT_ENTRY: u64 = 0x100_0200;

/// A kernel that prefers 16 MiB and needs 128 KiB there, whose 64-bit entry begins with `code`.
#[must_use]
pub fn bzimage(code: &[u8]) -> Vec<u8> {
    const SETUP: usize = 512 * 3;
    let mut file = Bytes(vec![0; SETUP + 0x200]);
    file.0.extend(code);
    // Whole paragraphs of 16 bytes, as `syssize` counts them.
    let paragraphs = (file.0.len() - SETUP).div_ceil(16);
    file.0.resize(SETUP + 16 * paragraphs, 0);
    // Sectors of setup behind the first; paragraphs of code; the magic at the first sector's end.
    file.put(0x1f1, &[2]);
    file.u32(0x1f4, u32::try_from(paragraphs).expect("small"));
    file.put(0x1fe, &[0x55, 0xaa]);
    // A jump over the header, which is how long it is known to be.
    file.put(0x200, &[0xeb, 0x6a]);
    file.put(0x202, b"HdrS");
    file.put(0x206, &0x020f_u16.to_le_bytes());
    // Loaded high; 1 MiB, as it would be if it were not relocatable.
    file.put(0x211, &[1]);
    file.u32(0x214, 0x10_0000);
    file.u32(0x22c, 0x7fff_ffff);
    // Alignment of 2 MiB; relocatable; a 64-bit entry.
    file.u32(0x230, 0x20_0000);
    file.put(0x234, &[1, 21]);
    file.put(0x236, &0x1_u16.to_le_bytes());
    file.u32(0x238, 255);
    file.u64(0x258, 0x100_0000);
    file.u32(0x260, 0x2_0000);
    file.0
}
