//! One upload, however often it breaks off.
//!
//! The daemon keeps what was written, and tells how far that is; so every attempt begins by asking. Whoever is superseded by another writer of the same
//! upload, which is another process of the same user with the same bytes, watches it, and takes over only when it makes no headway.
//!
//! **Invariant:** bounded: every wait, and the number of repeats without headway. The image is there when it says so, for the daemon said so.

use std::{
    io,
    pin::pin,
    time::{Duration, Instant},
};

use stagepages_proto::v1::{self, WriteImageRequest};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use tonic::Code;

use super::{
    ImageName, LocalImage,
    local::blocking,
    read::{Handed, Reading},
    upload_id,
};
use crate::{
    StagepagesError, reason,
    session::{
        RetryPolicy,
        fault::{Fault, fault},
        retry::Patience,
        run::random,
    },
};

/// Requests that are read and not yet taken by the connection, of up to 2 MiB each.
const AHEAD: usize = 2;

/// How to push.
#[derive(Clone, Debug, Default)]
pub struct PushOptions {
    /// The upload's name, 1 to 64 characters: a later push under it goes on where this one was cut off. Without one it follows from user, machine and image.
    pub upload_id: Option<String>,
    /// When to repeat, and when to give up; headway is bytes that the daemon has written.
    pub retry: RetryPolicy,
}

impl PushOptions {
    pub(crate) fn upload_id(&self, name: ImageName) -> String {
        let given = self.upload_id.clone();
        given.unwrap_or_else(|| upload_id::usual(name))
    }
}

/// What a push came to.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "says what travelled"]
pub struct Pushed {
    /// The image, which is stored.
    pub image: v1::Image,
    /// Whether it was stored before this push wrote anything.
    pub was_there: bool,
    /// Bytes that travelled, those of attempts that were lost included.
    pub sent_bytes: u64,
    /// Zeros that were told instead of sent.
    pub zero_bytes: u64,
    /// Where the first attempt began: behind what an earlier push under the same name had written.
    pub resumed_at: u64,
}

/// Why an image is not stored.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Refused, or no answer.
    #[error(transparent)]
    Refused(#[from] StagepagesError),
    /// The bytes cannot be read.
    #[error("the image cannot be read: {0}")]
    Unreadable(io::Error),
}

/// How far a write came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The image is stored.
    Complete,
    /// Up to this byte.
    Partial(u64),
    /// Nothing is known of it.
    Nothing,
}

/// The daemon, as a push talks to it. A trait, so that it runs against a model in its tests.
pub(crate) trait Uplink {
    /// How far a write came.
    fn written(
        &self,
        name: ImageName,
        upload_id: &str,
    ) -> impl Future<Output = Result<Written, StagepagesError>> + Send;

    /// Sends `requests` until they end, and returns the image.
    fn write(
        &self,
        requests: mpsc::Receiver<WriteImageRequest>,
    ) -> impl Future<Output = Result<v1::Image, StagepagesError>> + Send;

    /// The image's description.
    fn image(
        &self,
        name: ImageName,
    ) -> impl Future<Output = Result<v1::Image, StagepagesError>> + Send;
}

/// Bounds of one push.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of one request, at least a page.
    pub(crate) most: u64,
    /// How long the daemon may take neither bytes nor the word that it has all; unset means that only the connection's own end ends it.
    pub(crate) stall: Option<Duration>,
    /// The wait between two looks at another writer.
    pub(crate) look: Duration,
    /// Looks without headway after which it is taken over.
    pub(crate) looks: u32,
}

/// What to do after an error.
enum Next {
    Ask,
    Watch,
    End,
}

fn next(error: &StagepagesError) -> Next {
    match (error.reason(), fault(error)) {
        // What is stored was dropped between two questions, or an upload was forgotten.
        (Some(reason::IMAGE_OFFSET | reason::IMAGE_NOT_FOUND), _) => Next::Ask,
        (Some(reason::IMAGE_WRITE_SUPERSEDED), _) => Next::Watch,
        (_, Fault::Lost | Fault::Later) => Next::Ask,
        (_, Fault::Taken | Fault::Final) => Next::End,
    }
}

/// Pushes `image`, telling `progress` how many of its bytes are handed over or written.
pub(crate) async fn push(
    up: &impl Uplink,
    image: &LocalImage,
    options: &PushOptions,
    bounds: Bounds,
    mut progress: impl FnMut(u64),
) -> Result<Pushed, PushError> {
    let (name, upload_id) = (image.name(), options.upload_id(image.name()));
    let mut patience = Patience::new(options.retry);
    let mut farthest = 0;
    let mut began = None;
    let mut counted = Handed::default();
    // Looks at another writer, since its last headway.
    let mut watched: Option<u32> = None;
    loop {
        let error = match up.written(name, &upload_id).await {
            Err(error) => error,
            Ok(Written::Complete) => match up.image(name).await {
                Ok(image) => return Ok(pushed(image, began, counted)),
                Err(error) => error,
            },
            Ok(written) => {
                let (at, known) = match written {
                    Written::Partial(at) => (at.min(image.size()), true),
                    Written::Nothing | Written::Complete => (0, false),
                };
                if at > farthest {
                    farthest = at;
                    patience.progressed();
                    watched = watched.map(|_looks| 0);
                    progress(at);
                }
                if let Some(looks) = watched.filter(|looks| known && *looks < bounds.looks) {
                    watched = Some(looks + 1);
                    sleep(bounds.look).await;
                    continue;
                }
                watched = None;
                began.get_or_insert(at);
                let reading = Reading {
                    image: image.clone(),
                    upload_id: upload_id.clone(),
                    from: at,
                    most: bounds.most,
                };
                let written = attempt(up, reading, bounds.stall, &mut counted, &mut progress);
                match written.await {
                    Ok(image) => return Ok(pushed(image, began, counted)),
                    Err(PushError::Refused(error)) => error,
                    Err(unreadable @ PushError::Unreadable(_)) => return Err(unreadable),
                }
            }
        };
        match next(&error) {
            Next::End => return Err(error.into()),
            Next::Watch => watched = Some(0),
            Next::Ask => {}
        }
        match patience.failed(Instant::now(), error.retry_after(), random()) {
            Some(wait) => sleep(wait).await,
            None => return Err(error.into()),
        }
    }
}

/// One WriteImage.
async fn attempt(
    up: &impl Uplink,
    reading: Reading,
    stall: Option<Duration>,
    counted: &mut Handed,
    progress: &mut impl FnMut(u64),
) -> Result<v1::Image, PushError> {
    let (requests, outgoing) = mpsc::channel(AHEAD);
    let before = *counted;
    let (handed, mut told) = watch::channel(before);
    // Outlives the call: were it closed before, the daemon would be told that all was sent.
    let mut open = None;
    let mut reading = pin!(blocking(move || reading.run(requests, &handed)));
    let mut writing = pin!(up.write(outgoing));
    let mut read = false;
    loop {
        let step = async {
            tokio::select! {
                biased;
                answer = &mut writing => Some(answer.map_err(PushError::Refused)),
                end = &mut reading, if !read => match end {
                    Ok(Ok(())) => {
                        read = true;
                        None
                    }
                    Ok(Err(unread)) => {
                        open = Some(unread.open);
                        Some(Err(PushError::Unreadable(unread.error)))
                    }
                    Err(died) => Some(Err(PushError::Unreadable(died))),
                },
                Ok(()) = told.changed() => {
                    *counted = *told.borrow_and_update();
                    progress(counted.offset);
                    None
                }
            }
        };
        let step = match stall {
            Some(limit) => timeout(limit, step)
                .await
                .map_err(|_elapsed| stalled(limit))?,
            None => step.await,
        };
        // Not before the count of what was handed over is taken.
        *counted = *told.borrow();
        if let Some(end) = step {
            return end;
        }
    }
}

fn pushed(image: v1::Image, began: Option<u64>, counted: Handed) -> Pushed {
    Pushed {
        image,
        was_there: began.is_none(),
        sent_bytes: counted.sent,
        zero_bytes: counted.zeros,
        resumed_at: began.unwrap_or(0),
    }
}

fn stalled(limit: Duration) -> StagepagesError {
    StagepagesError::refused_here(
        Code::DeadlineExceeded,
        reason::DEADLINE_EXPIRED,
        format!("the daemon took nothing for {limit:?}"),
        [],
    )
}
