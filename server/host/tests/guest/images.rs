//! What the guests are made of. All code is where it is put: it is linked to no address.

use stagepages_host::protocol::{LongMode, Vcpu, VcpuStart};

/// Writes `Hi` to the serial port and `!` to the debug port, and halts.
#[rustfmt::skip]
pub(crate) const HELLO: &[u8] = &[
    0xba, 0xf8, 0x03,       // mov dx, 0x3f8
    0xb0, b'H',             // mov al, 'H'
    0xee,                   // out dx, al
    0xb0, b'i',             // mov al, 'i'
    0xee,                   // out dx, al
    0xb0, b'!',             // mov al, '!'
    0xe6, 0xe9,             // out 0xe9, al
    0xf4,                   // hlt
];

/// Runs for ever.
pub(crate) const LOOP: &[u8] = &[0xeb, 0xfe]; // jmp $

/// Sends back what comes to the serial port, and halts behind a `q`.
#[rustfmt::skip]
pub(crate) const ECHO: &[u8] = &[
    0xba, 0xfd, 0x03,       // again: mov dx, 0x3fd
    0xec,                   // in al, dx
    0xa8, 0x01,             // test al, 1
    0x74, 0xf8,             // jz again
    0xba, 0xf8, 0x03,       // mov dx, 0x3f8
    0xec,                   // in al, dx
    0xee,                   // out dx, al
    0x3c, b'q',             // cmp al, 'q'
    0x75, 0xef,             // jne again
    0xf4,                   // hlt
];

/// Writes to the serial port and to the debug port in turn, for ever.
#[rustfmt::skip]
pub(crate) const FLOOD: &[u8] = &[
    0xba, 0xf8, 0x03,       // mov dx, 0x3f8
    0xb0, b'x',             // mov al, 'x'
    0xee,                   // again: out dx, al
    0xe6, 0xe9,             // out 0xe9, al
    0xeb, 0xfb,             // jmp again
];

/// The first of two vCPUs, which share the byte at 0x5000 and the one behind it: says that it is there, waits for the other, writes `A` and halts.
#[rustfmt::skip]
pub(crate) const FIRST: &[u8] = &[
    0xc6, 0x06, 0x00, 0x50, 0x01, // mov byte [0x5000], 1
    0x80, 0x3e, 0x01, 0x50, 0x01, // again: cmp byte [0x5001], 1
    0x75, 0xf9,                   // jne again
    0xb0, b'A',                   // mov al, 'A'
    0xe6, 0xe9,                   // out 0xe9, al
    0xf4,                         // hlt
];

/// The second.
#[rustfmt::skip]
pub(crate) const SECOND: &[u8] = &[
    0x80, 0x3e, 0x00, 0x50, 0x01, // again: cmp byte [0x5000], 1
    0x75, 0xf9,                   // jne again
    0xc6, 0x06, 0x01, 0x50, 0x01, // mov byte [0x5001], 1
    0xb0, b'B',                   // mov al, 'B'
    0xe6, 0xe9,                   // out 0xe9, al
    0xf4,                         // hlt
];

/// 64-bit code that writes the 8 bytes at 0x5000 to the debug port and ends with exit code 7. Four bytes at once would go to four ports.
#[rustfmt::skip]
pub(crate) const SPELL: &[u8] = &[
    0xbe, 0x00, 0x50, 0x00, 0x00, // mov esi, 0x5000
    0xb9, 0x08, 0x00, 0x00, 0x00, // mov ecx, 8
    0xac,                         // again: lodsb
    0xe6, 0xe9,                   // out 0xe9, al
    0xff, 0xc9,                   // dec ecx
    0x75, 0xf9,                   // jnz again
    0xb0, 0x07,                   // mov al, 7
    0xe6, 0xf4,                   // out 0xf4, al
];

const TOP: u64 = 0x2000;

/// Page tables at 0x2000 to 0x4fff that map the first 2 MiB to itself, with the NX bit where there is no code to be run.
pub(crate) fn page_tables() -> Vec<u8> {
    let mut tables = vec![0; 0x3000];
    for (at, entry) in [(0, 0x3003_u64), (0x1000, 0x4003), (0x2000, 0x83)] {
        tables[at..at + 8].copy_from_slice(&entry.to_le_bytes());
    }
    // The next 2 MiB: the same memory, not to be executed.
    tables[0x2008..0x2010].copy_from_slice(&(1 << 63 | 0x83_u64).to_le_bytes());
    tables
}

/// vCPU 0 in 64-bit mode at 0x1000, with those tables.
pub(crate) fn long_mode() -> Vcpu {
    let start = LongMode {
        rip: 0x1000,
        rsp: 0x8000,
        cr3: TOP,
        general: None,
    };
    Vcpu {
        index: 0,
        start: Some(VcpuStart::LongMode(start)),
    }
}
