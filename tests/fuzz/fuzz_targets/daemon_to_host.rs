//! What a daemon says to a launch host.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagepages_fuzz::daemon_to_host(bytes));
