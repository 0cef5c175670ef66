//! Why the store refuses.
//!
//! **Invariant:** after an error each image is as it was, unless the variant says otherwise; no error has contents in it.

use std::{io, path::PathBuf};

use crate::ImageDigest;

/// Why the store refused. Sizes, offsets and quotas are in bytes.
#[derive(Debug, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the fields are named in each variant's own sentence"
)]
pub enum StoreError {
    /// Another process has the directory open.
    #[error("image store {} is used by another process; give each its own", path.display())]
    InUse { path: PathBuf },
    /// An owner's name that is no name.
    #[error("owner has to be 1 to {max} bytes without control characters, not {found} bytes")]
    BadOwner { found: usize, max: usize },
    /// An upload's id that is no id.
    #[error("upload_id has to be 1 to {max} characters without control characters")]
    BadUploadId { max: usize },
    /// An image of no bytes.
    #[error("size is 0x0 bytes; an image has at least one")]
    Empty,
    /// An image larger than any may be.
    #[error(
        "size is {size:#x} bytes, and an image may have {max:#x}; raise the limit, or send a smaller image"
    )]
    TooLarge { size: u64, max: u64 },
    /// No room, even without all that could be dropped for it. `used` counts uploads by their declared size, and what is in quarantine.
    #[error(
        "image quota: {need:#x} bytes are needed; {used:#x} of {quota:#x} are used, {pinned:#x} of these pinned by launches; delete images, end launches or uploads, or raise the quota"
    )]
    QuotaExceeded {
        need: u64,
        used: u64,
        pinned: u64,
        quota: u64,
    },
    /// No room for one owner, even without all of its own that could be dropped for it. `used` counts its images, shared ones in full, and its uploads by their
    /// declared size.
    #[error(
        "quota of images of one owner: {need:#x} bytes are needed; {used:#x} of {quota:#x} are used, {pinned:#x} of these pinned by its launches; delete images, end launches or uploads, or raise the quota"
    )]
    OwnerQuota {
        need: u64,
        used: u64,
        pinned: u64,
        quota: u64,
    },
    /// As many writers as one owner may have, and each of them still holds its upload.
    #[error(
        "{limit} uploads of this owner are under way, which is the share of one; finish one, or wait"
    )]
    TooManyOfOwner { limit: usize },
    /// As many writers as there may be, and each of them still holds its upload.
    #[error("{limit} uploads are under way, which is the limit; finish one, or wait")]
    TooManyUploads { limit: usize },
    /// No such image, or not this owner's.
    #[error("no image {digest}; upload it")]
    NotFound { digest: ImageDigest },
    /// What is stored is not what was committed. It is not given out again.
    #[error("image {digest} is corrupt ({why}); it was taken out of the store, upload it again")]
    Corrupt { digest: ImageDigest, why: String },
    /// Bytes that do not follow those that are there. Nothing was written.
    #[error("offset is {offset:#x}, and {committed:#x} bytes are committed; go on there")]
    WrongOffset { offset: u64, committed: u64 },
    /// Bytes beyond the declared size. Nothing was written.
    #[error("a write ends at {end:#x}, past the declared size of {size:#x} bytes")]
    PastEnd { end: u64, size: u64 },
    /// Commit of an upload that is not all there. It can be resumed.
    #[error("{committed:#x} of {size:#x} bytes are there; send the rest, then commit")]
    Incomplete { committed: u64, size: u64 },
    /// The bytes are those of another image. The upload is gone.
    #[error(
        "the bytes are those of {found}, not of {digest}; the upload was dropped, begin it anew"
    )]
    DigestMismatch {
        digest: ImageDigest,
        found: ImageDigest,
    },
    /// The upload was begun with another size.
    #[error(
        "size is {size:#x} bytes, and this upload was begun with {before:#x}; use another upload_id"
    )]
    SizeConflict { size: u64, before: u64 },
    /// Another writer took this upload over. It goes on there.
    #[error("another writer took this upload over; let it finish, or use another upload_id")]
    Fenced,
    /// The upload is being committed by its writer.
    #[error("this upload is being committed; ask for its state until it is complete")]
    Committing,
    /// The upload was dropped: idle for too long, for room, or after an error.
    #[error("this upload was dropped; begin it anew")]
    Dropped,
    /// An owner deletes an image that its own launches read. Nothing changed.
    #[error("image {digest} is pinned {pins} times by launches that stage it; end them, or wait")]
    Pinned { digest: ImageDigest, pins: usize },
    /// The file system is full. The upload is gone and its space given back; nothing else is lost.
    #[error("the disk of the image store is full; make room there, then begin the upload anew")]
    DiskFull { source: io::Error },
    /// The file system refused. An upload at hand is gone.
    #[error("the image store could not {doing}")]
    Io {
        doing: &'static str,
        source: io::Error,
    },
}

impl StoreError {
    /// What a failed step of the store is told as.
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        move |source| {
            let full = [StorageFull, QuotaExceeded, FileTooLarge];
            if full.contains(&source.kind()) {
                Self::DiskFull { source }
            } else {
                Self::Io { doing, source }
            }
        }
    }
}
