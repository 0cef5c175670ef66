//! ELF executables: guests of one's own and kernels.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagepages_fuzz::elf(bytes));
