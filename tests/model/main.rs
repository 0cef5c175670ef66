//! The shipped binaries on `sev-snp` and `tdx`, where the kernel beneath them is a model of 6.11, 6.18, 6.19 or 7.1 that has both.
//!
//! ```text
//! conformance   the cases of the suite of that name, on each platform and profile
//! black_box     likewise, those that are about a platform
//! race          likewise
//! exactly_once  likewise
//! plan          images, and the digests that were planned of them
//! preflight     GetNodeInfo of machines that lack something
//! snp_finish    what SNP's firmware alone is given at the end
//! expected      that the digest told before the end is the one of the end
//! settings      that every setting reaches the kernel
//! faults        what each fault of the kernel, firmware or the TDX module comes to: a table
//! trace         what the binaries asked of the kernel, and in which order
//! restart       daemons and hosts that are killed, aborts, upgrades; a campaign of tests/restart
//! ```
//!
//! With `STAGEPAGES_MODEL_PROFILES=turns` a case of those four runs on one profile of each platform, by its name: enough while something is being changed.
//!
//! After each run the model's trace is searched for what no launch host must ever do. **A model is one reading of kernel.md**, made without a look at the product: what
//! passes here has yet to be run on the hardware, which is what `--test conformance --features hw` is for.
//!
//! `faults`, `trace` and `restart` have the model's script and its trace in hand by [`rig`]; what a launch measures they compute anew in [`measured`].
//!
//! **Invariant:** no case is written for the model that another platform could have.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]
#![expect(
    clippy::print_stdout,
    reason = "libtest shows the output of failing tests: the round that failed"
)]

mod black_box;
mod conformance;
mod exactly_once;
mod expected;
mod faults;
mod measured;
mod pages;
mod plan;
mod preflight;
mod race;
mod restart;
mod rig;
mod settings;
mod snp_finish;
mod subjects;
mod trace;
