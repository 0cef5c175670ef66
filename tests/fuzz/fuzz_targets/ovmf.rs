//! Firmware with SEV metadata, TDVF descriptors, or neither.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagepages_fuzz::ovmf(bytes));
