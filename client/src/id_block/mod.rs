//! The signed identity of an SEV-SNP guest: what its owner says it must be, so that firmware starts nothing else.
//!
//! ```text
//!  ID block (96 bytes)                       ID authentication information (4096 bytes)
//!  launch digest, policy, ids, SVN  ◀─signs─ ID key ◀─signs─ author key (if there is one)
//!              │                               │                  │
//!      firmware compares                 the digests of both keys are in every attestation report
//! ```
//!
//! | file     | one idea                                                                                    |
//! |----------|----------------------------------------------------------------------------------------------|
//! | `block`  | the ID block, as bytes and as fields                                                          |
//! | `auth`   | the ID authentication information, likewise                                                   |
//! | `ecdsa`  | public keys and signatures in the form of the firmware's ABI                                  |
//! | `key`    | private keys, from PEM                                                                        |
//! | `signed` | both together: made with keys, or read and judged as firmware would                           |
//!
//! Layouts are those of AMD 56860, the section on SNP_LAUNCH_FINISH and the appendix on digital signatures.
//!
//! **Invariant:** a private key is in no message, log or `Debug`, and its memory is wiped.

mod auth;
mod block;
mod ecdsa;
mod key;
mod read;
mod signed;

pub use auth::{AUTH_BYTES, ECDSA_P384_SHA384, IdAuth};
pub use block::{BLOCK_BYTES, IdBlock, VERSION};
pub use ecdsa::{PUBLIC_KEY_BYTES, PublicKey, SIGNATURE_BYTES, Signature};
pub use key::{Key, KeyError};
pub use signed::SignedId;

#[cfg(test)]
mod tests;
