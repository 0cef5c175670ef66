//! IGVM files, mostly with a checksum that is put right.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagepages_fuzz::igvm(bytes));
