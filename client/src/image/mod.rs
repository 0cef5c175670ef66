//! The images that people have, each turned into a [`Plan`](crate::plan::Plan).
//!
//! ```text
//! Input (bytes, bounded) ──format──▶ loader ──Options──▶ Plan, or ImageError: structure, offset, what, way out
//! ```
//!
//! Images are parsed here and never in the daemon: a privileged parser is an attack surface. What an image claims is believed only as far as its bytes
//! bear it out: memory and time are bounded by the size of the file, whatever numbers are in it.
//!
//! **Invariant:** no image makes a loader panic, allocate more than a small multiple of the file's size, or run for longer than its size explains.

pub mod bzimage;
pub mod elf;
mod error;
mod format;
pub mod igvm;
mod input;
mod linux_boot;
pub mod manifest;
mod options;
pub mod ovmf;
mod settings;
#[cfg(test)]
mod testing;
mod unused;

pub use error::ImageError;
pub use format::{Format, Image, open};
pub use input::{Input, LARGEST_IMAGE};
pub use options::Options;
pub use settings::{SevSnpOptions, TdxOptions};
