//! Parts of guests, as listings.
//!
//! Each works in real mode and in 64-bit mode: the assembler knows the bits.
use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, al, bl, dword_ptr, dx, ebx, ecx, edx, esi, rsi, si};

use crate::program::CODE;

/// COM1.
pub(crate) const SERIAL: u32 = 0x3f8;
/// The debug port.
pub(crate) const DEBUG: u32 = 0xe9;
/// isa-debug-exit.
pub(crate) const EXIT: u32 = 0xf4;
/// The keyboard controller.
pub(crate) const KEYBOARD: u32 = 0x64;

const FNV_BASIS: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

/// Assembles `listing` for `bits`, to run at [`CODE`].
pub(crate) fn assemble(
    bits: u32,
    listing: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Vec<u8> {
    assemble_at(bits, CODE, listing)
}

/// Assembles `listing` for `bits`, to run at `ip`.
pub(crate) fn assemble_at(
    bits: u32,
    ip: u64,
    listing: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Vec<u8> {
    let mut code = CodeAssembler::new(bits).unwrap();
    listing(&mut code).unwrap();
    code.assemble(ip).unwrap()
}

/// FNV-1a over little-endian words of 32 bits, as [`hash_words`] computes it in the guest.
pub(crate) fn fnv(bytes: &[u8]) -> u32 {
    bytes.chunks_exact(4).fold(FNV_BASIS, |hash, word| {
        (hash ^ u32::from_le_bytes(word.try_into().unwrap())).wrapping_mul(FNV_PRIME)
    })
}

/// Leaves in ebx the hash of the `bytes` bytes at `start`. Four instructions a word.
pub(crate) fn hash_words(a: &mut CodeAssembler, start: u32, bytes: u32) -> Result<(), IcedError> {
    let mut next = a.create_label();
    a.mov(ebx, FNV_BASIS)?;
    a.mov(ecx, bytes / 4)?;
    if a.bitness() == 16 {
        a.mov(si, start)?;
        a.set_label(&mut next)?;
        a.xor(ebx, dword_ptr(si))?;
        a.add(si, 4)?;
    } else {
        a.mov(esi, start)?;
        a.set_label(&mut next)?;
        a.xor(ebx, dword_ptr(rsi))?;
        a.add(esi, 4)?;
    }
    a.imul_3(ebx, ebx, FNV_PRIME)?;
    a.dec(ecx)?;
    a.jne(next)
}

/// Prints ebx on `port`, eight hex digits and a line feed.
pub(crate) fn print_hex(a: &mut CodeAssembler, port: u32) -> Result<(), IcedError> {
    let (mut digit, mut decimal) = (a.create_label(), a.create_label());
    a.mov(edx, port)?;
    a.mov(ecx, 8)?;
    a.set_label(&mut digit)?;
    a.rol(ebx, 4)?;
    a.mov(al, bl)?;
    a.and(al, 0xf)?;
    a.cmp(al, 10)?;
    a.jb(decimal)?;
    a.add(al, i32::from(b'a' - 10 - b'0'))?;
    a.set_label(&mut decimal)?;
    a.add(al, i32::from(b'0'))?;
    a.out(dx, al)?;
    a.dec(ecx)?;
    a.jne(digit)?;
    print(a, port, "\n")
}

/// Prints `text` on `port`.
pub(crate) fn print(a: &mut CodeAssembler, port: u32, text: &str) -> Result<(), IcedError> {
    a.mov(edx, port)?;
    for byte in text.bytes() {
        a.mov(al, i32::from(byte))?;
        a.out(dx, al)?;
    }
    Ok(())
}

/// Ends the guest with `code`.
pub(crate) fn exit(a: &mut CodeAssembler, code: u8) -> Result<(), IcedError> {
    a.mov(al, i32::from(code))?;
    a.mov(edx, EXIT)?;
    a.out(dx, al)
}

/// Never ends.
pub(crate) fn forever(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let mut here = a.create_label();
    a.set_label(&mut here)?;
    a.jmp(here)
}
