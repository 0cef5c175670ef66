//! The listing against its bytes. That a processor agrees, the demo itself shows.

use super::*;

/// A processor with the few instructions that the guest uses.
struct Vcpu<'a> {
    image: &'a [u8],
    rip: u64,
    rsi: u64,
    rcx: u64,
    al: u8,
    ebx: u32,
    below: bool,
    zero: bool,
}

impl Vcpu<'_> {
    fn byte(&self, gpa: u64) -> u8 {
        self.image[usize::try_from(gpa - CODE_GPA).unwrap()]
    }

    /// What the instruction has from its byte `at` on.
    fn word(&self, at: u64) -> u32 {
        u32::from_le_bytes([0, 1, 2, 3].map(|nth| self.byte(self.rip + at + nth)))
    }

    /// Goes past an instruction of two bytes, and where the second leads if `taken`.
    fn jump(&mut self, taken: bool) {
        let distance = i64::from(self.byte(self.rip + 1).cast_signed());
        self.rip += 2;
        if taken {
            self.rip = self.rip.wrapping_add_signed(distance);
        }
    }

    /// Runs to the exit; what was written to the serial port, and the exit code.
    fn run(mut self) -> (String, u8) {
        let mut serial = String::new();
        for _ in 0..20_000 {
            let second = self.byte(self.rip + 1);
            let length = match (self.byte(self.rip), second) {
                (0xbe, _) => {
                    self.rsi = self.word(1).into();
                    5
                }
                (0xb9, _) => {
                    self.rcx = self.word(1).into();
                    5
                }
                (0xbb, _) => {
                    self.ebx = self.word(1);
                    5
                }
                (0xb1, _) => {
                    self.rcx = self.rcx & !0xff | u64::from(second);
                    2
                }
                (0x66, 0xba) => {
                    assert_eq!(self.word(1) >> 8 & 0xffff, 0x3f8, "COM1");
                    4
                }
                (0xac, _) => {
                    self.al = self.byte(self.rsi);
                    self.rsi += 1;
                    1
                }
                (0x84, 0xc0) => {
                    self.zero = self.al == 0;
                    2
                }
                (0x30, 0xc3) => {
                    self.ebx ^= u32::from(self.al);
                    2
                }
                (0x69, 0xdb) => {
                    self.ebx = self.ebx.wrapping_mul(self.word(2));
                    6
                }
                (0xc1, 0xc3) => {
                    self.ebx = self.ebx.rotate_left(self.word(2) & 0xff);
                    3
                }
                (0x88, 0xd8) => {
                    self.al = self.ebx.to_le_bytes()[0];
                    2
                }
                (0x24, mask) => {
                    self.al &= mask;
                    2
                }
                (0x3c, other) => {
                    self.below = self.al < other;
                    2
                }
                (0x04, more) => {
                    self.al += more;
                    2
                }
                (0x31, 0xc0) => {
                    self.al = 0;
                    2
                }
                (0xee, _) => {
                    serial.push(char::from(self.al));
                    1
                }
                (0x74, _) => {
                    self.jump(self.zero);
                    0
                }
                (0x72, _) => {
                    self.jump(self.below);
                    0
                }
                (0xeb, _) => {
                    self.jump(true);
                    0
                }
                (0xe2, _) => {
                    self.rcx -= 1;
                    self.jump(self.rcx != 0);
                    0
                }
                (0xe6, 0xf4) => return (serial, self.al),
                other => panic!("{other:x?} at {:#x}", self.rip),
            };
            self.rip += length;
        }
        panic!("it does not end");
    }
}

#[test]
fn it_prints_its_line_and_the_hash_of_its_page_and_exits_with_0() {
    let (image, said) = image().unwrap();
    let vcpu = Vcpu {
        image: &image,
        rip: CODE_GPA,
        rsi: 0,
        rcx: 0,
        al: 0,
        ebx: 0,
        below: false,
        zero: false,
    };
    assert_eq!(vcpu.run(), (said, 0));
}

#[test]
fn its_page_tables_lead_from_cr3_to_the_first_2_mib() {
    let (image, _) = image().unwrap();
    assert_eq!(image.len(), 5 * PAGE);
    let Some(State::LongMode(state)) = vcpu().state else {
        panic!("64-bit mode")
    };
    assert_eq!(state.rip, IMAGE.bytes());
    let entry = |table: u64| {
        let at = usize::try_from(table - CODE_GPA).unwrap();
        u64::from_le_bytes(image[at..at + 8].try_into().unwrap())
    };
    let pdpt = entry(state.cr3);
    let directory = entry(pdpt & !0xfff);
    assert_eq!((pdpt & 0xfff, directory & 0xfff), (TABLE, TABLE));
    assert_eq!(entry(directory & !0xfff), LARGE);
}

#[test]
fn the_hash_is_fnv_1a() {
    // Test vectors of the function's authors.
    assert_eq!(fnv(b""), 0x811c_9dc5);
    assert_eq!(fnv(b"a"), 0xe40c_292c);
    assert_eq!(fnv(b"foobar"), 0xbf9c_f968);
}
