//! UEFI firmware of 64 KiB with the metadata that EDK2 gives its builds for SEV-SNP and for TDX.
//!
//! At the very end is the reset vector (16 bytes), before that 16 bytes more, and before these the table of GUIDed entries, which is read backwards: {data, length u16, GUID}, the
//! last of them describing the table itself.

use super::put::{Bytes, guid};

const SIZE: usize = 64 << 10;
const TABLE: &str = "96b582de-1fb2-45f7-baea-a366c55a082d";
const SEV_METADATA: &str = "dc886566-984a-4798-a75e-5585a7bf67cc";
const SEV_HASHES: &str = "7255371f-3a3b-4b04-927b-1da6efa8d454";
const SEV_ES_RESET: &str = "00f771de-1a7e-4fcb-890e-68c77e2fb44e";
const TDX_METADATA: &str = "e47a6535-984a-4798-865e-4685a7bf8ec2";
const OF_NOBODY: &str = "00112233-4455-6677-8899-aabbccddeeff";

/// Where the structures of either kind begin, in a file of [`SIZE`] bytes.
const METADATA: usize = 0xf000;

/// Firmware for SEV-SNP with a section of every type, and a page for the hashes of a kernel. `seed` changes its code.
#[must_use]
pub fn amd_firmware(seed: u8) -> Vec<u8> {
    const SECTIONS: [(u32, u32, u32); 7] = [
        (0x80_0000, 0x3000, 1),
        (0x80_a000, 0x3000, 1),
        (0x80_d000, 0x1000, 2),
        (0x80_e000, 0x1000, 3),
        (0x80_f000, 0x1000, 4),
        (0x81_0000, 0x1000, 0x10),
        (0x81_1000, 0x4000, 1),
    ];
    let mut file = code(seed);
    file.put(METADATA, b"ASEV");
    file.u32(METADATA + 4, 16 + 12 * 7);
    file.u32(METADATA + 8, 1);
    file.u32(METADATA + 12, 7);
    for (at, (gpa, size, kind)) in (METADATA + 16..).step_by(12).zip(SECTIONS) {
        file.u32(at, gpa);
        file.u32(at + 4, size);
        file.u32(at + 8, kind);
    }
    let from_end = u32::try_from(SIZE - METADATA).expect("64 KiB");
    let hashes = [0x81_0c00_u32.to_le_bytes(), 0x400_u32.to_le_bytes()].concat();
    table(
        &mut file,
        &[
            (SEV_METADATA, &from_end.to_le_bytes()),
            (SEV_HASHES, &hashes),
            (OF_NOBODY, b"whatever"),
            (SEV_ES_RESET, &0x0080_b004_u32.to_le_bytes()),
        ],
    );
    file.0
}

/// Firmware for TDX: its volumes, a hand-off block and scratch memory. `seed` changes its code.
#[must_use]
pub fn intel_firmware(seed: u8) -> Vec<u8> {
    /// Offset, bytes in the file, address, bytes in memory, type, attributes.
    const SECTIONS: [(u32, u32, u64, u64, u32, u32); 5] = [
        (0x4000, 0xc000, 0xffff_4000, 0xc000, 0, 1),
        (0, 0x4000, 0xffff_0000, 0x4000, 1, 0),
        (0, 0, 0x81_0000, 0x2000, 3, 0),
        (0, 0, 0x80_9000, 0x2000, 2, 0),
        (0, 0, 0x80_b000, 0x2000, 3, 0),
    ];
    let mut file = code(seed);
    file.put(METADATA, &guid("e9eaf9f3-168e-44d5-a8eb-7f4d8738f6ae"));
    let descriptor = METADATA + 16;
    file.put(descriptor, b"TDVF");
    file.u32(descriptor + 4, 16 + 32 * 5);
    file.u32(descriptor + 8, 1);
    file.u32(descriptor + 12, 5);
    for (at, section) in (descriptor + 16..).step_by(32).zip(SECTIONS) {
        let (offset, raw, gpa, size, kind, attributes) = section;
        file.u32(at, offset);
        file.u32(at + 4, raw);
        file.u64(at + 8, gpa);
        file.u64(at + 16, size);
        file.u32(at + 24, kind);
        file.u32(at + 28, attributes);
    }
    let from_end = u32::try_from(SIZE - descriptor).expect("64 KiB");
    table(&mut file, &[(TDX_METADATA, &from_end.to_le_bytes())]);
    file.0
}

/// Some pages with bytes of their own, some of zeros.
fn code(seed: u8) -> Bytes {
    let mut file = Bytes(vec![0; SIZE]);
    for (nth, page) in file.0.chunks_mut(4096).enumerate() {
        let nth = u8::try_from(nth).expect("16 pages");
        if nth % 5 != 2 {
            page.iter_mut().zip(0_u8..=u8::MAX).for_each(|(byte, at)| {
                *byte = at.wrapping_mul(7) ^ seed.wrapping_add(nth);
            });
        }
    }
    file
}

/// Writes the table of these entries, the first of them farthest from the end.
fn table(file: &mut Bytes, entries: &[(&str, &[u8])]) {
    let mut bytes = Vec::new();
    for (name, data) in entries {
        let length = u16::try_from(data.len() + 18).expect("small");
        bytes.extend([data, &length.to_le_bytes()[..], &guid(name)].concat());
    }
    let length = u16::try_from(bytes.len() + 18).expect("small");
    bytes.extend(length.to_le_bytes());
    bytes.extend(guid(TABLE));
    file.put(SIZE - 32 - bytes.len(), &bytes);
}
