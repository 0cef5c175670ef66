//! WriteImage: bytes on their way from a stream into the store.
//!
//! ```text
//!  requests ─▶ this task ── at most two messages ──▶ a thread of its own: write, commit ──▶ answer
//! ```
//!
//! So receiving and writing overlap, and the store hashes beside them, for which it holds a few more (see `Upload`); and a disk that is slow holds back its own client and nobody else.
//!
//! **Invariant:** nothing is committed unless the client said that all is sent.

use bytes::Bytes;
use stagepages_audit::Event;
use stagepages_images::{Begun, ImageDigest, ImageInfo, Store, StoreError, Upload};
use stagepages_proto::v1::{self, write_image_request::Content};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::{
    image_error,
    image_service::{ImageApi, blocking, blocking_told, digest, image},
    reason::Reason,
    status::ApiError,
};
use crate::{
    auth::Tenant,
    daemon::{MAX_DATA_BYTES, on_disk},
};

/// Messages that are received and not yet written. With the one in hand, and with what waits to be hashed, a write holds at most 10 MiB that the receive budget has
/// given back; the store's limit of uploads bounds their sum: 640 MiB for all tenants, and half of it for one.
const AHEAD: usize = 2;

/// What a call's thread is given.
pub(super) enum Step {
    Bytes(u64, Bytes),
    Zeros(u64, u64),
    /// The client has sent all.
    Commit,
}

/// Serves one call.
pub(super) async fn serve(
    api: &ImageApi,
    owner: Tenant,
    mut requests: Streaming<v1::WriteImageRequest>,
) -> Result<v1::WriteImageResponse, Status> {
    let Some(first) = next(api, &mut requests).await? else {
        let text =
            "the stream is empty; its first request names the image, its size and the upload";
        return Err(ApiError::new(Reason::MalformedRequest, text).into());
    };
    let name = first.name.clone();
    let written = write(api, owner, first, requests).await;
    // What the store says is about an upload, and names no image.
    let info = written.map_err(|failed| match failed {
        Failed::Told(error) => Status::from(error.meta("image", &name)),
        Failed::Stream(status) => status,
    })?;
    tracing::info!(image = %info.digest, size = info.size, "image stored");
    Ok(v1::WriteImageResponse {
        image: Some(image(&info)),
    })
}

enum Failed {
    Told(ApiError),
    /// What is wrong with the stream itself.
    Stream(Status),
}

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        Self::Told(error)
    }
}

async fn write(
    api: &ImageApi,
    owner: Tenant,
    first: v1::WriteImageRequest,
    mut requests: Streaming<v1::WriteImageRequest>,
) -> Result<ImageInfo, Failed> {
    let digest = digest("name", &first.name)?;
    let (size, id) = (first.size, first.upload_id.clone());
    let (whose, bounds) = (owner.clone(), api.bounds(&owner));
    let most = bounds.own.image_bytes;
    let begun = blocking_told(
        &api.store,
        move |store| store.begin(whose.as_str(), digest, size, &id, most),
        |error| image_error::of_taker(error, &bounds),
    );
    let upload = match begun.await? {
        Begun::Complete { .. } => {
            return Ok(blocking(&api.store, move |store| store.get(owner.as_str(), digest)).await?);
        }
        Begun::Upload(upload) => upload,
    };
    let (steps, given) = mpsc::channel(AHEAD);
    let store = api.store.clone();
    let thread = on_disk(move || carry_out(&store, &owner, digest, upload, given));
    let mut request = Some(first);
    // Its end is told by the thread: with what it refused, or with the image.
    let stopped = loop {
        let step = match request {
            Some(request) => match step(request, digest) {
                Ok(step) => step,
                Err(error) => break Some(Failed::Told(error)),
            },
            None => Some(Step::Commit),
        };
        let last = matches!(step, Some(Step::Commit));
        if let Some(step) = step
            && steps.send(step).await.is_err()
        {
            break None;
        }
        if last {
            break None;
        }
        request = tokio::select! {
            biased;
            () = steps.closed() => break None,
            next = next(api, &mut requests) => match next {
                Ok(next) => next,
                Err(status) => break Some(Failed::Stream(status)),
            },
        };
    };
    drop(steps);
    let written = thread
        .await
        .map_err(|died| ApiError::new(Reason::InternalError, format!("the image store: {died}")))?;
    match stopped {
        Some(failed) => Err(failed),
        None => match written {
            Ok(Some(info)) => {
                crate::audit::image(Event::ImageStored, info.digest, Some(info.size));
                api.metrics.images().written();
                Ok(info)
            }
            Ok(None) => Err(ApiError::new(Reason::InternalError, "the write was given up").into()),
            Err(error) => Err(image_error::of(&error).into()),
        },
    }
}

/// Writes what it is given, and commits when that is said; otherwise the upload stays as it is.
fn carry_out(
    store: &Store,
    owner: &Tenant,
    digest: ImageDigest,
    mut upload: Upload,
    mut steps: mpsc::Receiver<Step>,
) -> Result<Option<ImageInfo>, StoreError> {
    while let Some(step) = steps.blocking_recv() {
        let written = match step {
            Step::Bytes(offset, bytes) => upload.write(offset, &bytes),
            Step::Zeros(offset, length) => upload.write_zeros(offset, length),
            Step::Commit => return upload.commit().map(Some),
        };
        // Another upload may have brought the image in the meantime, or a later writer of this one.
        let over = written.is_err() || upload.committed_offset() < upload.size();
        if over && let Ok(info) = store.get(owner.as_str(), digest) {
            return Ok(Some(info));
        }
        written?;
    }
    Ok(None)
}

/// What a request asks for; nothing where it carries nothing.
pub(super) fn step(
    request: v1::WriteImageRequest,
    digest: ImageDigest,
) -> Result<Option<Step>, ApiError> {
    if !request.name.is_empty() && self::digest("name", &request.name)? != digest {
        let text =
            "names another image than the first request of this stream; use a stream for each";
        return Err(
            ApiError::new(Reason::MalformedRequest, format!("name {text}")).field("name", text),
        );
    }
    match request.content {
        None => Ok(None),
        Some(Content::Data(data)) if data.len() as u64 > MAX_DATA_BYTES => {
            let text = format!(
                "data has {} bytes; send at most {MAX_DATA_BYTES} in one message",
                data.len()
            );
            Err(ApiError::new(Reason::MessageTooLarge, text.clone()).field("data", &text))
        }
        Some(Content::Data(data)) => Ok(Some(Step::Bytes(request.offset, data))),
        Some(Content::Zeros(zeros)) => Ok(Some(Step::Zeros(request.offset, zeros))),
    }
}

/// The next request; a client that pauses for too long has stalled.
async fn next(
    api: &ImageApi,
    requests: &mut Streaming<v1::WriteImageRequest>,
) -> Result<Option<v1::WriteImageRequest>, Status> {
    match tokio::time::timeout(api.patience, requests.message()).await {
        Ok(next) => next,
        Err(_elapsed) => {
            let text = format!(
                "no message came for {:?}; what was written is kept for a while: ask QueryWrite and go on",
                api.patience
            );
            Err(ApiError::new(Reason::DeadlineExpired, text).into())
        }
    }
}
