//! Who gets in, what they may do, what leaves, and what each process can do if it is taken over: against the real binaries.
#![forbid(unsafe_code)]
