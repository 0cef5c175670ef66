//! Puts the kernel model beneath an unmodified program, by way of `LD_PRELOAD`.
