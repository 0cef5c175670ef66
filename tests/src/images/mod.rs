//! Small images of the formats that people have, made byte by byte from what the formats say.
//!
//! Real firmware is megabytes and not always at hand; what matters of it is its metadata, which is the same in 64 KiB. Nothing here is shared with the
//! product's loaders: each side has read the format by itself.
//!
//! **Invariant:** an image is a function of its arguments.

mod boot;
mod elf;
mod firmware;
mod igvm;
mod put;

pub use boot::{BOOT_ENTRY, bzimage};
pub use elf::{ELF_ENTRY, elf};
pub use firmware::{amd_firmware, intel_firmware};
pub use igvm::igvm;
