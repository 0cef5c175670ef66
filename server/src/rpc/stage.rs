//! StagePages, and asking a launch's host for anything.

use std::time::Duration;

use stagepages_host::{
    launch::{InTheWay, State},
    protocol::{self, Command, Outcome},
};
use stagepages_kvm::PAGE_SIZE;
use stagepages_proto::v1;

use super::{LaunchApi, convert, decode, reason::Reason, status::ApiError};
use crate::daemon::{Ending, Launch, Slot};

/// What a caller is told to wait when too many calls wait already. A full queue of full slots takes about this long on `kvm`.
const QUEUE_RETRY: Duration = Duration::from_millis(100);

impl LaunchApi {
    pub(super) async fn stage(
        &self,
        request: v1::StagePagesRequest,
    ) -> Result<v1::StagePagesResponse, ApiError> {
        let id = decode::launch_name(&request.name)?;
        let submitted =
            decode::extent(request.gpa, request.page_type, request.data, request.length)
                .map_err(|error| error.launch(id))?;
        let launch = self.registry.get(id, &request.uid)?;
        let _turn = launch.calls.clone().try_acquire_owned().map_err(|_full| {
            let text = format!(
                "{} calls wait for launch {id} already; send fewer at a time",
                self.max_pending_calls
            );
            ApiError::new(Reason::QueueFull, text)
                .launch(id)
                .retry_after(QUEUE_RETRY)
        })?;
        let broken = |error: std::io::Error| {
            ApiError::new(
                Reason::NoCapacity,
                format!("the staging memory of launch {id}: {error}"),
            )
            .launch(id)
        };
        let mut slot = launch.staging.slot().await.map_err(broken)?;
        let mut staging_offset = None;
        if let Some(data) = &submitted.data {
            slot.write(data).map_err(broken)?;
            staging_offset = Some(slot.offset());
        }
        drop(submitted.data); // the request's own copy is not needed while the host works
        let range = submitted.range;
        let stage = protocol::Stage {
            gpa: range.start().gpa().get(),
            length: range.bytes(),
            page_type: protocol::page_type_number(submitted.page_type),
            staging_offset,
        };
        let outcome = self
            .ask(&launch, "stage pages", Command::Stage(stage), Some(slot))
            .await?;
        let Outcome::Staged(staged) = outcome else {
            return Err(self.confused(&launch));
        };
        let stop = staged
            .stop
            .map(InTheWay::try_from)
            .transpose()
            .map_err(|error| ApiError::new(Reason::InternalError, error.to_string()))?;
        Ok(v1::StagePagesResponse {
            installed_pages: staged.installed_pages,
            next_gpa: range.start().gpa().get() + staged.installed_pages * PAGE_SIZE,
            stop: stop.as_ref().map(convert::stop),
        })
    }

    /// Asks the host of `launch`. Errors carry the launch, its state, and how many pages the request installed all the same.
    pub(super) async fn ask(
        &self,
        launch: &Launch,
        doing: &str,
        command: Command,
        slot: Option<Slot>,
    ) -> Result<Outcome, ApiError> {
        if launch.status().ending.is_some() {
            return Err(over(launch, doing));
        }
        match launch.link.call(command, &[], slot).await {
            Ok(answer) => answer.outcome.map_err(|refusal| {
                let state = answer
                    .snapshot
                    .map_or(State::Aborted, |snapshot| snapshot.state);
                let error = convert::refusal(&refusal)
                    .launch(&launch.id)
                    .meta("launch_state", state)
                    .meta("installed_pages", refusal.installed_pages);
                explain(error, &launch.id, &refusal.message)
            }),
            Err(_lost) => {
                // The host is gone; how is known when its exit status is.
                if !launch.over().await {
                    let text = format!(
                        "the launch host of {} does not answer and its end is not known; look again with GetLaunch",
                        launch.id
                    );
                    return Err(ApiError::new(Reason::HostUnreachable, text).launch(&launch.id));
                }
                Err(gone(launch, doing))
            }
        }
    }

    /// The host answered something else than it was asked.
    pub(super) fn confused(&self, launch: &Launch) -> ApiError {
        ApiError::new(
            Reason::InternalError,
            "the launch host gave an answer of another kind",
        )
        .launch(&launch.id)
    }
}

/// Adds the detail that fits the reason.
fn explain(error: ApiError, launch: &str, message: &str) -> ApiError {
    let reason = error.reason();
    if reason == Reason::WrongState {
        error.precondition("LAUNCH_STATE", launch, message)
    } else if matches!(reason, Reason::InvalidExtent | Reason::UnsupportedPageType) {
        error.field("page_type", message)
    } else if reason == Reason::OutsideMemory {
        error.field("gpa", message)
    } else if reason == Reason::QueueFull {
        error.retry_after(QUEUE_RETRY)
    } else {
        error
    }
}

/// The error of a call that came after the launch's end.
fn over(launch: &Launch, doing: &str) -> ApiError {
    let state = launch.status().snapshot.state;
    let cause = launch
        .describe()
        .abort
        .map(|cause| cause.message)
        .unwrap_or_default();
    let text = format!(
        "cannot {doing}: launch {} is {state} ({cause}); create a new launch",
        launch.id
    );
    let error = ApiError::new(Reason::WrongState, text.clone())
        .launch(&launch.id)
        .meta("launch_state", state)
        .meta("installed_pages", 0);
    error.precondition("LAUNCH_STATE", &launch.id, &text)
}

/// The error of a call that was with the host when it went.
fn gone(launch: &Launch, doing: &str) -> ApiError {
    let status = launch.status();
    let state = status.snapshot.state;
    match status.ending {
        Some(Ending::Died(exit)) => {
            let text = format!(
                "the launch host of {} died ({}); the launch is over and its pages are gone, create a new one",
                launch.id, exit.status
            );
            ApiError::new(Reason::HostDied, text)
                .launch(&launch.id)
                .meta("launch_state", state)
        }
        // It was still waiting in the host's queue: a request that had begun is answered before the host ends.
        Some(Ending::Told | Ending::Killed) | None => {
            let text = format!(
                "cannot {doing}: launch {} was ended while this call waited",
                launch.id
            );
            ApiError::new(Reason::AbortedDuringCall, text)
                .launch(&launch.id)
                .meta("launch_state", state)
                .meta("installed_pages", 0)
        }
    }
}
