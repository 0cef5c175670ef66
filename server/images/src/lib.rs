//! The image store: images on a directory, named by SHA-256 over their bytes.
//!
//! ```text
//!  <dir>/           0700
//!    lock           held by the process that has the store open
//!    blobs/H        an image's bytes; H are the 64 digits of its digest
//!    blobs/H.pieces its size and the digests of its pieces, see `sidecar`
//!    owners/O/H     that owner O (in hexadecimal digits) has the image; modified when O last used it
//!    uploads/K.*    bytes of an upload so far, and what is on record of it, see `key`
//!    quarantine/N-H corrupt images, the newest four
//! ```
//!
//! | module      | one idea                                                                  |
//! |-------------|---------------------------------------------------------------------------|
//! | `digest`    | an image's name                                                           |
//! | `key`       | which upload it is                                                        |
//! | `disk`      | every step that changes a directory                                       |
//! | `sidecar`   | the digests of an image's pieces, in a file                               |
//! | `store`     | the store, its locks, and questions                                       |
//! | `index`     | what is there, in memory                                                  |
//! | `blob`      | an image, and its owners' holds on it                                     |
//! | `recover`   | what is there after a crash                                               |
//! | `plan`      | what may go when room is needed, and in which order                       |
//! | `room`      | how it goes                                                               |
//! | `upload`    | bytes that come in                                                        |
//! | `seat`      | who writes an upload                                                      |
//! | `follow`    | the threads that hash them                                                |
//! | `backlog`   | what these have not hashed yet                                            |
//! | `hashes`    | what they make of it                                                      |
//! | `commit`    | how they become an image, and what a crash after each step leaves         |
//! | `reading`   | images that are read                                                      |
//! | `remove`    | images that go                                                            |
//! | `told`      | what the store tells of itself                                            |
//! | `witness`   | who is told when an image goes by the store's own doing                   |
//!
//! An image is shared by the owners who proved to have its bytes, by uploading them, or were granted it. To anybody else it is missing, and
//! nobody is told of another's uses of it. Bytes count once for the store, and in full for each owner.
//!
//! All calls block, and may be made from any number of threads.
//!
//! **Invariant:** an image is whole or absent, whenever the process or the machine is killed; what was found corrupt is never given out again.
#![forbid(unsafe_code)]

mod backlog;
mod blob;
mod commit;
mod digest;
mod disk;
mod error;
mod follow;
mod hashes;
mod index;
mod key;
mod plan;
mod reading;
mod recover;
mod remove;
mod room;
mod seat;
mod sidecar;
mod store;
mod told;
mod upload;
mod witness;

#[cfg(test)]
mod tests;

pub use self::{
    digest::{ImageDigest, ParseDigestError},
    error::StoreError,
    reading::Pinned,
    store::Store,
    told::{ImageInfo, ImagePage, Limits, OwnerUsage, Quarantined, Report, Usage, WriteState},
    upload::{Begun, Upload},
    witness::{Gone, Witness},
};
