//! The save area that KVM makes of a vCPU's registers and has firmware measure (`sev_es_sync_vmsa()`, arch/x86/kvm/svm/sev.c).
//!
//! An image cannot bring its own: KVM fills the page from the registers that were set, adds what the VMCB has beside them, and measures that. So a digest can
//! be foretold from registers alone, and what an image's save area says beyond them is never measured.
//!
//! ```text
//! Registers ──page(features)──▶ 4096 bytes ──▶ snp::LaunchDigest::extend_vmsa
//! ```
//!
//! **Invariant:** a function of registers and features alone.

mod page;
mod registers;

pub use page::page;
pub use registers::{General, Registers, Segment, Table};

/// SEV_FEATURES: SNP_ACTIVE, which KVM sets for every SNP guest (`__sev_guest_init()`).
pub const SNP_ACTIVE: u64 = 1;
