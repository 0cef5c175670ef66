//! What a launch host says to its daemon.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagepages_fuzz::host_to_daemon(bytes));
