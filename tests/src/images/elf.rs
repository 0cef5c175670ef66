//! A static ELF executable for x86-64: a header, two program headers, code, and memory that is only zeros.

use super::put::Bytes;

/// Where its code begins, in the guest's physical memory.
pub const ELF_ENTRY: u64 = 0x10_0040;

/// Code that begins at [`ELF_ENTRY`], and 8 KiB of zeros behind it.
#[must_use]
pub fn elf(code: &[u8]) -> Vec<u8> {
    const CODE: usize = 0x1040;
    let mut file = Bytes(vec![0; CODE]);
    file.0.extend(code);
    let length = code.len() as u64;
    // Class 64, little-endian, version 1; executable, x86-64, version 1.
    file.put(0, b"\x7fELF\x02\x01\x01");
    file.put(16, &[2, 0, 62, 0, 1, 0, 0, 0]);
    file.u64(24, ELF_ENTRY);
    file.u64(32, 64);
    // Sizes: of this header, of a program header, and how many of those.
    file.put(52, &[64, 0, 56, 0, 2, 0]);
    // Type, flags, offset, virtual and physical address, bytes in the file, in memory, alignment.
    for (at, kind, flags, offset, address, in_file, in_memory) in [
        (64, 1, 5, 0x1040, ELF_ENTRY, length, length),
        (120, 1, 6, 0x1000, 0x20_0000, 0, 0x2000),
    ] {
        file.u32(at, kind);
        file.u32(at + 4, flags);
        file.u64(at + 8, offset);
        file.u64(at + 16, address);
        file.u64(at + 24, address);
        file.u64(at + 32, in_file);
        file.u64(at + 40, in_memory);
        file.u64(at + 48, 0x1000);
    }
    file.0
}
