//! Firmware images through the public API: images that are made here, and Debian's OVMF.
//!
//! | module     | one claim                                                                            |
//! |------------|--------------------------------------------------------------------------------------|
//! | `sev_crate`  | a plan for SEV-SNP ends in the digest that the `sev` crate computes from the same files |
//! | `snp`        | what of an image is staged on SEV-SNP and on kvm, and which options go with it          |
//! | `tdx`        | the same on TDX, and MRTD anew from the sections                                        |
//! | `refused`    | an image that lies is refused with structure, offset and way out                        |
//! | `any_bytes`  | no image at all makes the loader panic or plan more than it may                         |
//!
//! Debian's OVMF is that of its package `ovmf`. Where STAGEPAGES_DATA names a folder with `OVMF.amdsev.fd` and `OVMF.inteltdx.ms.fd`, those are tried
//! too.

#![expect(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not reach their helpers"
)]

mod any_bytes;
mod image;
mod refused;
mod settings;
mod sev_crate;
mod snp;
mod tdx;
