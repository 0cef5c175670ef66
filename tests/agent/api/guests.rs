//! Images of guests.

use stagepages_tests::elf;

/// A guest that says this on its serial port, and then halts or runs on.
pub(super) fn guest(text: &str, halts: bool) -> Vec<u8> {
    // mov dx, 0x3f8; then for each byte: mov al, BYTE; out dx, al.
    let mut code = vec![0x66, 0xba, 0xf8, 0x03];
    for byte in text.bytes() {
        code.extend([0xb0, byte, 0xee]);
    }
    // hlt; or jmp to itself.
    code.extend(if halts { [0xf4, 0xf4] } else { [0xeb, 0xfe] });
    elf(&code)
}

/// A guest of so many pages of something, which halts.
pub(super) fn large(pages: usize) -> Vec<u8> {
    with_code(&[0xf4; 16], pages)
}

/// The same, but it runs on.
pub(super) fn large_that_runs(pages: usize) -> Vec<u8> {
    // jmp to itself.
    with_code(&[0xeb, 0xfe], pages)
}

fn with_code(code: &[u8], pages: usize) -> Vec<u8> {
    let mut code = code.to_vec();
    code.extend((0..pages * 4096).map(|at| u8::try_from((at / 4096 + at) % 251).unwrap() + 1));
    let mut file = elf(&code);
    // Its second segment begins behind all that.
    let behind = 0x20_0000 + u64::try_from(pages * 4096).unwrap();
    for at in [120 + 16, 120 + 24] {
        file[at..at + 8].copy_from_slice(&(behind & !0xfff).to_le_bytes());
    }
    file
}
