//! The stack of a thread that hashes pages: what functions left behind that have returned.
//!
//! BLAKE3 and SHA-384 spread the bytes of a page over registers, and over the stack where there are too few (`blake3_hash_many_avx2` stores whole blocks there). What
//! is below the stack pointer afterwards stays until another call happens to overwrite it.
//!
//! **Invariant:** nothing that is still in use is touched: only what a call made from here has below it.

use std::hint::black_box;

/// Deeper than any of the hash functions goes for one page: about 4 KiB in optimised code, and less than a quarter of the smallest stack that a thread is given.
const DEPTH: usize = 24 << 10;

/// Overwrites the stack below the caller with zeros.
#[inline(never)]
pub(crate) fn wipe() {
    let zeros = [0_u8; DEPTH];
    // Somebody might look at it, for all that the compiler knows.
    black_box(&zeros);
}
