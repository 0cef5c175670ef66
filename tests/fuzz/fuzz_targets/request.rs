//! Requests to the daemon, decoded and checked.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagepages_fuzz::request(bytes));
