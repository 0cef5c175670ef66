//! What the image store refused, as callers are told.
//!
//! **Invariant:** every refusal has the reason that `image.proto` promises for it; what only an operator can act on goes to the log.

use std::time::Duration;

use stagepages_images::StoreError;

use super::{image_service::name, reason::Reason, status::ApiError};
use crate::auth::{Bounds, Resource};

/// When to ask again where another call is about to be done.
const SOON: Duration = Duration::from_millis(200);

/// The error of a call that takes room of its own tenant's.
pub(super) fn of_taker(error: &StoreError, bounds: &Bounds) -> ApiError {
    let StoreError::OwnerQuota {
        need, used, quota, ..
    } = *error
    else {
        return of(error);
    };
    bounds.exceeded_own(Resource::ImageBytes, quota, used, need)
}

/// The error of a call that takes room of another tenant's, which has these bounds.
pub(super) fn of_giver(error: &StoreError, other: &Bounds) -> ApiError {
    let StoreError::OwnerQuota { need, .. } = *error else {
        return of(error);
    };
    other.no_room_for_gift(Resource::ImageBytes, need)
}

/// The error of any call.
pub(super) fn of(error: &StoreError) -> ApiError {
    let text = error.to_string();
    let told = |reason: Reason| ApiError::new(reason, text.as_str());
    match error {
        StoreError::BadOwner { .. } => told(Reason::InternalError),
        StoreError::BadUploadId { .. } => told(Reason::MalformedRequest).field("upload_id", &text),
        StoreError::Empty | StoreError::SizeConflict { .. } => {
            told(Reason::MalformedRequest).field("size", &text)
        }
        StoreError::PastEnd { .. } => told(Reason::MalformedRequest).field("content", &text),
        StoreError::Incomplete { committed, .. } => {
            told(Reason::MalformedRequest).meta("committed_offset", committed)
        }
        StoreError::TooLarge { .. } => told(Reason::ImageTooLarge).field("size", &text),
        StoreError::QuotaExceeded { need, quota, .. } => {
            // What is used of it, and read, is other tenants', too.
            tracing::info!(%error, "no room for an image");
            let text = format!(
                "{need:#x} bytes are needed, and not so many of the quota of {quota:#x} can be freed now; delete images, wait for writes and launches, or raise image_quota_bytes"
            );
            ApiError::new(Reason::QuotaExceeded, text.as_str()).quota("image_quota_bytes", &text)
        }
        StoreError::OwnerQuota { .. } => told(Reason::QuotaExceeded).quota("image_bytes", &text),
        StoreError::TooManyOfOwner { .. } => {
            told(Reason::NoCapacity).quota("uploads_of_one_tenant", &text)
        }
        StoreError::TooManyUploads { .. } => told(Reason::NoCapacity).quota("uploads", &text),
        StoreError::NotFound { digest } => told(Reason::ImageNotFound).meta("image", name(*digest)),
        StoreError::Corrupt { digest, .. } => {
            told(Reason::ImageCorrupt).meta("image", name(*digest))
        }
        StoreError::WrongOffset { committed, .. } => told(Reason::ImageOffset)
            .meta("committed_offset", committed)
            .field("offset", &text),
        StoreError::DigestMismatch { digest, found } => told(Reason::ImageDigestMismatch)
            .meta("image", name(*digest))
            .meta("actual", name(*found)),
        StoreError::Fenced => told(Reason::ImageWriteSuperseded),
        StoreError::Committing => told(Reason::ImageWriteSuperseded).retry_after(SOON),
        StoreError::Dropped => told(Reason::ImageOffset).meta("committed_offset", 0),
        StoreError::Pinned { digest, .. } => told(Reason::ImageInUse)
            .meta("image", name(*digest))
            .precondition("IMAGE_IN_USE", &name(*digest), &text),
        StoreError::DiskFull { source } => {
            tracing::warn!(error = %source, "the disk of the image store is full");
            told(Reason::NoCapacity)
        }
        StoreError::InUse { .. } | StoreError::Io { .. } => {
            tracing::error!(%error, cause = ?std::error::Error::source(error), "the image store");
            told(Reason::InternalError)
        }
    }
}
