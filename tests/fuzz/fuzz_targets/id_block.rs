//! ID blocks, their authentication, and keys in PEM.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagepages_fuzz::id_block(bytes));
