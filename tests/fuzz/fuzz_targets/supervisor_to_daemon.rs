//! What the supervisor says to its daemon.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagepages_fuzz::supervisor_to_daemon(bytes));
