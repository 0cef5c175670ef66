//! A tiny guest: it prints a line that was staged with it, then a hash of the page that holds that line.
//!
//! ```text
//!  0x1000  code, where its vCPU begins
//!  0x2000  text: the line, a zero, and random bytes to the page's end, so that nobody knows the hash beforehand
//!  0x3000  page tables, three pages: the first 2 MiB of linear addresses are the physical ones
//! ```
//!
//! **Invariant:** all that it needs is in its image; what it has not from there, it has not.

use bytes::Bytes;
use stagepages_client::{
    addr::{Gpa, Region},
    v1::{LongModeState, VcpuState, vcpu_state::State},
};

const PAGE: usize = 4096;
/// Its memory. Behind the image there is nothing to see.
pub(super) const MEMORY: Region = Region {
    gpa: Gpa::new(0),
    size: 64 << 10,
};
/// Where the image is staged.
pub(super) const IMAGE: Gpa = Gpa::new(CODE_GPA);
/// The page that it hashes.
pub(super) const TEXT: Gpa = Gpa::new(TEXT_GPA);

const CODE_GPA: u64 = 0x1000;
const TEXT_GPA: u64 = 0x2000;
const PML4: u64 = 0x3000;
const PDPT: u64 = 0x4000;
const DIRECTORY: u64 = 0x5000;
/// Present and writable; Intel SDM volume 3, section 5.5.4.
const TABLE: u64 = 0x3;
/// The same for a page of 2 MiB.
const LARGE: u64 = 0x83;

const BASIS: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;

/// The line; the guest's own eight digits follow it.
const LINE: &[u8] = b"hello from a staged guest; FNV-1a of my page at GPA 0x2000 is \0";

/// About 17,000 instructions, in 64-bit mode. A processor starts with the direction flag clear, so `lodsb` goes upwards.
const CODE: [u8; 68] = [
    0xbe, 0x00, 0x20, 0x00, 0x00, // mov esi, TEXT
    0x66, 0xba, 0xf8, 0x03, // mov dx, COM1
    0xac, // say: lodsb
    0x84, 0xc0, // test al, al
    0x74, 0x03, // jz hash
    0xee, // out dx, al
    0xeb, 0xf8, // jmp say
    0xbe, 0x00, 0x20, 0x00, 0x00, // hash: mov esi, TEXT
    0xb9, 0x00, 0x10, 0x00, 0x00, // mov ecx, 4096
    0xbb, 0xc5, 0x9d, 0x1c, 0x81, // mov ebx, BASIS
    0xac, // byte: lodsb
    0x30, 0xc3, // xor bl, al
    0x69, 0xdb, 0x93, 0x01, 0x00, 0x01, // imul ebx, ebx, PRIME
    0xe2, 0xf5, // loop byte
    0xb1, 0x08, // mov cl, 8; the rest of rcx is zero behind the loop
    0xc1, 0xc3, 0x04, // digit: rol ebx, 4
    0x88, 0xd8, // mov al, bl
    0x24, 0x0f, // and al, 0x0f
    0x3c, 0x0a, // cmp al, 10
    0x72, 0x02, // jb decimal
    0x04, 0x27, // add al, 'a' - '0' - 10
    0x04, 0x30, // decimal: add al, '0'
    0xee, // out dx, al
    0xe2, 0xee, // loop digit
    0x31, 0xc0, // xor eax, eax
    0xe6, 0xf4, // out 0xf4, al: the exit code
    0xf4, // hlt
];

/// How its vCPU begins.
pub(super) fn vcpu() -> VcpuState {
    let state = LongModeState {
        rip: CODE_GPA,
        cr3: PML4,
        ..LongModeState::default()
    };
    VcpuState {
        index: 0,
        state: Some(State::LongMode(state)),
    }
}

/// Its pages, from [`IMAGE`] on, and what it has to print about them.
///
/// # Errors
/// The system has no random bytes.
pub(super) fn image() -> Result<(Bytes, String), getrandom::Error> {
    let mut text = [0; PAGE];
    let (line, noise) = text.split_at_mut(LINE.len());
    line.copy_from_slice(LINE);
    getrandom::fill(noise)?;

    let mut image = CODE.to_vec();
    image.resize(PAGE, 0xcc); // int3, which nothing here handles: whatever strays stops at once
    image.extend(text);
    for entry in [PDPT | TABLE, DIRECTORY | TABLE, LARGE] {
        image.extend(entry.to_le_bytes());
        image.resize(image.len().next_multiple_of(PAGE), 0);
    }
    let said = String::from_utf8_lossy(&LINE[..LINE.len() - 1]);
    Ok((image.into(), format!("{said}{:08x}", fnv(&text))))
}

/// FNV-1a with 32 bits, as the guest computes it.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(BASIS, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests;
