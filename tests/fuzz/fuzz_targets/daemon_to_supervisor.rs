//! What a daemon says to the supervisor.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagepages_fuzz::daemon_to_supervisor(bytes));
