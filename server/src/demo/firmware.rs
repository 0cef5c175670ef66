//! A small firmware image that comes with the demo, for machines without a real one: three pages, made by the code below.
//!
//! It is a real one all the same. An x86 processor starts at GPA 0xfffffff0 in real mode; the jump there leads to a loop that
//! writes one line to the first serial port, and halts.
//!
//! **Invariant:** the same bytes on every machine and in every build, and no two pages alike.

const PAGE: usize = 4096;
/// Pages of the image.
const PAGES: usize = 3;
/// Offset of the image's last page in the 64 KiB that real mode sees of it at reset.
const LAST_PAGE: u16 = 0xf000;
/// Offset of the first instruction that a processor fetches.
const RESET_VECTOR: u16 = 0xfff0;
/// What the image says.
const LINE: &[u8] = b"stagepages: every page of this image was installed once\r\n\0";

/// The loop, for [`LAST_PAGE`]; the line follows behind it.
const CODE: [u8; 19] = [
    0xfa, // cli
    0xbe, 0x13, 0xf0, // mov si, LINE
    0xba, 0xf8, 0x03, // mov dx, COM1
    0x2e, 0xac, // next: cs lodsb
    0x84, 0xc0, // test al, al
    0x74, 0x03, // jz done
    0xee, // out dx, al
    0xeb, 0xf7, // jmp next
    0xf4, // done: hlt
    0xeb, 0xfd, // jmp done
];

/// The image.
pub(super) fn image() -> Vec<u8> {
    let mut image = vec![0xff; PAGES * PAGE]; // as erased flash memory is
    for (number, page) in image.chunks_exact_mut(PAGE).enumerate() {
        let name = format!("stagepages demo firmware, page {number} of {PAGES}\n");
        page[PAGE / 2..][..name.len()].copy_from_slice(name.as_bytes());
    }
    let last = &mut image[(PAGES - 1) * PAGE..];
    last[..CODE.len()].copy_from_slice(&CODE);
    last[CODE.len()..][..LINE.len()].copy_from_slice(LINE);

    let vector = usize::from(RESET_VECTOR - LAST_PAGE);
    // Relative to the instruction behind the jump's three bytes, modulo 64 KiB.
    let [low, high] = LAST_PAGE.wrapping_sub(RESET_VECTOR + 3).to_le_bytes();
    last[vector..][..3].copy_from_slice(&[0xe9, low, high]); // jmp LAST_PAGE
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The few instructions that the image uses.
    fn run(image: &[u8]) -> Vec<u8> {
        let base = 0x1_0000 - image.len();
        let byte = |ip: u16| image[usize::from(ip) - base];
        let word = |ip: u16| u16::from_le_bytes([byte(ip), byte(ip + 1)]);
        let short = |ip: u16| (ip + 1).wrapping_add_signed(i16::from(byte(ip).cast_signed()));
        let (mut ip, mut si, mut dx, mut al) = (RESET_VECTOR, 0, 0, 0);
        let mut serial = Vec::new();
        for _ in 0..10_000 {
            match byte(ip) {
                0xe9 => ip = (ip + 3).wrapping_add(word(ip + 1)),
                0xfa => ip += 1,
                0xbe => (si, ip) = (word(ip + 1), ip + 3),
                0xba => (dx, ip) = (word(ip + 1), ip + 3),
                0x2e if byte(ip + 1) == 0xac => (al, si, ip) = (byte(si), si + 1, ip + 2),
                0x84 if byte(ip + 1) == 0xc0 => ip += 2,
                0x74 => ip = if al == 0 { short(ip + 1) } else { ip + 2 },
                0xeb => ip = short(ip + 1),
                0xee => {
                    assert_eq!(dx, 0x3f8);
                    serial.push(al);
                    ip += 1;
                }
                0xf4 => return serial,
                other => panic!("{other:#x} at {ip:#x}"),
            }
        }
        panic!("it does not halt");
    }

    #[test]
    fn from_the_reset_vector_it_prints_its_line_and_halts() {
        assert_eq!(run(&image()), LINE[..LINE.len() - 1]);
    }

    #[test]
    fn no_two_pages_are_alike() {
        let image = image();
        let mut pages: Vec<&[u8]> = image.chunks_exact(PAGE).collect();
        assert_eq!(pages.len(), PAGES);
        pages.sort_unstable();
        pages.dedup();
        assert_eq!(pages.len(), PAGES);
    }
}
