//! Two ledgers, compared by the product and by a loop.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagepages_fuzz::diff(bytes));
