//! StagePages: one call from its request to its answer, alone or on a stream.

use std::{os::fd::AsFd as _, sync::Arc, time::Duration};

use stagepages_digest::pieces::{PIECE_BYTES, PieceDigest};
use stagepages_host::{
    launch::{Answered, CallKey, Installation, State},
    protocol::{self, Command, Outcome},
};
use stagepages_images::ImageDigest;
use stagepages_kvm::GfnRange;
use stagepages_proto::v1;
use stagepages_schedule::Refused;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{
    LaunchApi, ask, convert,
    decode::{self, Source, Submitted},
    image_service::blocking,
    reason::Reason,
    status::ApiError,
};
use crate::auth::Caller;
use crate::daemon::{Launch, OnTheWay, Posted, StoredImage};
use crate::trace;

/// What a caller is told to wait when too many calls wait already. A full queue of full slots takes about this long on `kvm`.
pub(super) const QUEUE_RETRY: Duration = Duration::from_millis(100);

/// A call that was checked, and not yet sent.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) key: CallKey,
    submitted: Submitted,
    /// Which stream it came on; 0 for none.
    stream: u64,
    /// When its caller, or its stream's, gives up.
    deadline: Option<Instant>,
    /// When it asked for firmware, and how long the queue said then that it takes.
    foretold: Option<(Instant, Duration)>,
}

/// A call that the launch host has.
#[derive(Debug)]
pub(super) struct Begun {
    call: Call,
    sent: Sent,
}

#[derive(Debug)]
enum Sent {
    /// The host has it, or has lost it.
    Posted(Posted),
    /// There was no host any more.
    TooLate,
}

impl Call {
    /// Checks everything about a request that can be checked without its launch.
    pub(super) fn decode(
        request: &v1::StagePagesRequest,
        stream: u64,
        deadline: Option<Instant>,
    ) -> Result<Self, ApiError> {
        let submitted = decode::extent(
            request.gpa,
            request.page_type,
            request.data.clone(),
            request.length,
            request.image.as_ref(),
        )?;
        let key = decode::call_key(request.sequence, &request.request_id)?;
        Ok(Self {
            key,
            submitted,
            stream,
            deadline,
            foretold: None,
        })
    }

    /// Whether its number was applied before: then it needs no turn to be answered.
    fn is_applied(&self, launch: &Launch) -> bool {
        let next = launch.status().snapshot.next_sequence;
        self.key.sequence.is_some_and(|sequence| sequence < next)
    }
}

/// The error of a call that the queue for firmware did not take.
fn no_turn(refused: &Refused) -> ApiError {
    match refused {
        Refused::QueueFull { retry_after, .. } => {
            ApiError::new(Reason::QueueFull, refused.to_string())
                .retry_after(*retry_after)
                .quota(
                    "queued_launches",
                    "max_queued_launches of the daemon's configuration",
                )
        }
        Refused::DeadlineUnreachable { expected, left } => {
            ApiError::new(Reason::DeadlineUnreachable, refused.to_string())
                .retry_after(expected.saturating_sub(*left))
        }
    }
}

impl LaunchApi {
    pub(super) async fn stage(
        &self,
        caller: &Caller,
        mut request: v1::StagePagesRequest,
    ) -> Result<v1::StagePagesResponse, ApiError> {
        let launch = self.find(caller, &request.name, &request.uid)?;
        let call = Call::decode(&request, 0, crate::net::deadline())
            .map_err(|error| untouched(&launch, error))?;
        let turn = launch.calls.clone().try_acquire_owned().map_err(|_full| {
            let text = format!(
                "{} calls wait for launch {} already; send fewer at a time",
                self.max_pending_calls, launch.id
            );
            untouched(
                &launch,
                ApiError::new(Reason::QueueFull, text).retry_after(QUEUE_RETRY),
            )
        })?;
        request.data = None; // the call has it; no second reference holds the memory
        self.begin(&launch, call, turn)
            .await?
            .answer(self, &launch)
            .await
    }

    /// Hands a call to the launch host, after those handed to it before. Dropped before that, nothing has happened; afterwards the host
    /// completes it, whatever becomes of the answer.
    pub(super) async fn begin(
        &self,
        launch: &Arc<Launch>,
        mut call: Call,
        turn: OwnedSemaphorePermit,
    ) -> Result<Begun, ApiError> {
        launch.lease.touch();
        launch.asked_for.note(State::Staging);
        let over = launch.status().ending.is_some();
        let Some(staging) = launch.staging().filter(|_| !over) else {
            return Ok(Begun {
                call,
                sent: Sent::TooLate,
            });
        };
        let broken = |error: std::io::Error| {
            let text = format!(
                "the staging memory of launch {}: {error}; try again when memory is free",
                launch.id
            );
            untouched(launch, ApiError::new(Reason::NoCapacity, text))
        };
        trace::note("stagepages.gpa", call.submitted.range.start().gpa().get());
        trace::note("stagepages.pages", call.submitted.range.pages());
        let queue = trace::step("queue");
        let on_the_way = self.let_in(launch, &call).await?;
        let mut slot = staging.slot().await.map_err(broken)?;
        drop(queue);
        slot.held().turn = Some(turn);
        slot.held().on_the_way = on_the_way;
        let mut staging_offset = None;
        let mut staged = None;
        match std::mem::replace(&mut call.submitted.source, Source::Blank) {
            // The request's own copy is not needed while the host works.
            Source::Data(data) => {
                let _copy = trace::step("copy");
                slot.write(&data).map_err(broken)?;
                drop(data);
                // The message is gone from here, so another may be received.
                crate::net::message_consumed();
                staging_offset = Some(slot.offset());
            }
            Source::Image(digest, offset) => {
                let image = self
                    .slice(launch, digest, offset, call.submitted.range)
                    .await;
                let image = image.map_err(|error| untouched(launch, error))?;
                slot.held().image = Some(Arc::clone(&image.stored));
                staged = Some(image);
            }
            Source::Blank => {}
        }
        if let Some(seat) = &launch.seat
            && !call.is_applied(launch)
        {
            let _turn = trace::step("turn");
            let asked = seat
                .ask(call.submitted.range.pages(), call.deadline)
                .map_err(|refused| untouched(launch, no_turn(&refused)))?;
            slot.held().asked = Some(asked);
            let since = Instant::now();
            call.foretold = seat.place().map(|place| (since, place.eta));
            seat.turn().await;
            let installs = launch.metrics.installs();
            installs.waited_for_turn(launch.platform, since.elapsed());
        }
        let stage = protocol::Stage {
            gpa: call.submitted.range.start().gpa().get(),
            length: call.submitted.range.bytes(),
            page_type: protocol::page_type_number(call.submitted.page_type),
            staging_offset,
            sequence: call.key.sequence,
            request_id: call
                .key
                .request_id
                .as_ref()
                .map(|id| id.as_bytes().to_vec())
                .unwrap_or_default(),
            stream: call.stream,
            image: staged.as_ref().map(|staged| staged.slice.clone()),
        };
        let image = staged
            .as_ref()
            .map(|staged| staged.stored.pinned.file().as_fd());
        let sent = match launch
            .link
            .post(Command::Stage(stage), image.as_slice(), Some(slot))
            .await
        {
            Ok(posted) => Sent::Posted(posted),
            Err(_lost) => Sent::TooLate,
        };
        Ok(Begun { call, sent })
    }
}

impl LaunchApi {
    /// Counts a call's pages as its tenant's. A repeat brings none: the host has its answer, also where there is no room any more.
    async fn let_in(
        &self,
        launch: &Arc<Launch>,
        call: &Call,
    ) -> Result<Option<OnTheWay>, ApiError> {
        if call.is_applied(launch) {
            return Ok(None);
        }
        let bounds = self.bounds(&launch.tenant);
        let bytes = call.submitted.range.bytes();
        match self.registry.let_in(launch, bytes, &bounds) {
            Ok(on_the_way) => Ok(Some(on_the_way)),
            Err(_)
                if call.key.request_id.is_some() && self.is_answered(launch, &call.key).await =>
            {
                Ok(None)
            }
            Err(error) => Err(untouched(launch, error)),
        }
    }
}

/// A slice of an image, for a launch host.
struct Staged {
    slice: protocol::Image,
    stored: Arc<StoredImage>,
}

impl LaunchApi {
    /// Opens the image of a call, and takes the part of it that the call stages.
    async fn slice(
        &self,
        launch: &Launch,
        digest: ImageDigest,
        offset: u64,
        range: GfnRange,
    ) -> Result<Staged, ApiError> {
        launch.takes_images()?;
        let owner = launch.tenant.clone();
        let pinned = blocking(&self.images, move |store| {
            store.open_image(owner.as_str(), digest)
        });
        let pinned = pinned.await;
        let hit = usize::from(pinned.is_ok());
        launch.metrics.images().looked_up(hit, 1 - hit);
        let pinned = pinned?;
        let (size, length) = (pinned.size(), range.bytes());
        if offset.checked_add(length).is_none_or(|end| end > size) {
            let text = format!(
                "{length:#x} bytes from {offset:#x} on are not in an image of {size:#x} bytes"
            );
            return Err(
                ApiError::new(Reason::InvalidExtent, format!("image: {text}"))
                    .gpa(range.start().gpa())
                    .field("image.length", &text),
            );
        }
        let piece = PIECE_BYTES as u64;
        let index = |byte: u64| usize::try_from(byte / piece).unwrap_or(usize::MAX);
        let pieces = pinned
            .pieces()
            .get(index(offset)..=index(offset + length - 1))
            .unwrap_or_default();
        let pieces = pieces.iter().flat_map(|PieceDigest(digest)| *digest);
        Ok(Staged {
            slice: protocol::Image {
                offset,
                size,
                pieces: pieces.collect(),
            },
            stored: Arc::new(StoredImage {
                pinned,
                store: self.images.clone(),
            }),
        })
    }
}

impl Begun {
    /// Waits for the host's answer.
    pub(super) async fn answer(
        self,
        api: &LaunchApi,
        launch: &Launch,
    ) -> Result<v1::StagePagesResponse, ApiError> {
        let Self { call, sent } = self;
        let was_sent = matches!(sent, Sent::Posted(_));
        let answer = match sent {
            Sent::Posted(posted) => posted.answer().await,
            Sent::TooLate => Err(crate::daemon::LinkLost),
        };
        launch.lease.touch();
        let range = call.submitted.range;
        let installation = match answer {
            Ok(answer) => {
                let Outcome::Staged(staged) = ask::told(launch, answer)? else {
                    return Err(api.confused(launch));
                };
                // Of a launch that has more planned, or of several calls at once, the queue foretells the end of all: that is not this call's.
                if let Some((since, eta)) = call.foretold
                    && !launch.busy()
                    && launch.spec.planned_pages == 0
                {
                    let launches = launch.metrics.launches();
                    launches.foretold(launch.platform, eta, since.elapsed());
                }
                Installation::try_from(staged)
                    .map_err(|error| ApiError::new(Reason::InternalError, error.to_string()))?
            }
            // The launch is over. What it remembered of this call is its answer still.
            Err(_lost) => match launch
                .remembered(&call.key)
                .await
                .filter(|first| same_shape(first, &call))
            {
                Some(first) => first
                    .applied
                    .map_err(|refusal| ask::refused(launch, &refusal))?,
                None => return Err(ask::lost(launch, "stage pages", was_sent).await),
            },
        };
        trace::installed(installation.installed_pages);
        Ok(convert::staged(range, &installation))
    }
}

/// The error of a call that the launch host was never handed: nothing was installed.
pub(super) fn untouched(launch: &Launch, error: ApiError) -> ApiError {
    error
        .launch(&launch.id)
        .meta("installed_pages", 0)
        .meta("launch_state", launch.status().snapshot.state)
}

/// Whether a remembered answer is to a call for the same pages. Its contents are gone with the launch.
fn same_shape(first: &Answered, call: &Call) -> bool {
    first.range == call.submitted.range && first.page_type == call.submitted.page_type
}
