//! Asking a launch's host for anything, and what the caller is told when it refuses, or is gone.

use stagepages_host::{
    launch::{AbortReason, Refusal, State},
    protocol::{Command, Outcome},
};

use super::{LaunchApi, convert, reason::Reason, stage::QUEUE_RETRY, status::ApiError};
use crate::daemon::{Answer, Ending, Launch, LinkLost};

impl LaunchApi {
    /// Asks the host of `launch`. Errors carry the launch, its state, and how many pages the request installed all the same.
    pub(super) async fn ask(
        &self,
        launch: &Launch,
        doing: &str,
        command: Command,
    ) -> Result<Outcome, ApiError> {
        told(launch, self.call(launch, doing, command).await?)
    }

    /// Asks the host of `launch`, and returns its answer as it is.
    pub(super) async fn call(
        &self,
        launch: &Launch,
        doing: &str,
        command: Command,
    ) -> Result<Answer, ApiError> {
        not_over(launch, doing).await?;
        match launch.link.call(command, &[], None).await {
            Ok(answer) => Ok(answer),
            Err(LinkLost) => Err(lost(launch, doing, true).await),
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

/// Checks that the launch is not over.
///
/// # Errors
/// WRONG_STATE, LEASE_EXPIRED.
pub(super) async fn not_over(launch: &Launch, doing: &str) -> Result<(), ApiError> {
    if launch.status().ending.is_some() {
        return Err(lost(launch, doing, false).await);
    }
    Ok(())
}

/// A host's answer, as the caller is told.
pub(super) fn told(launch: &Launch, answer: Answer) -> Result<Outcome, ApiError> {
    // A host that is too busy to look at a request says nothing of the launch.
    let state = answer
        .snapshot
        .map_or_else(|| launch.status().snapshot.state, |snapshot| snapshot.state);
    answer
        .outcome
        .map_err(|refusal| explain(&refusal, &launch.id).meta("launch_state", state))
}

/// A refusal that a launch remembered when it was over.
pub(super) fn refused(launch: &Launch, refusal: &Refusal) -> ApiError {
    explain(refusal, &launch.id).meta("launch_state", State::Aborted)
}

/// A refusal with all that goes with its reason, but for the launch's state.
fn explain(refusal: &Refusal, launch: &str) -> ApiError {
    let error = convert::refusal(refusal)
        .launch(launch)
        .meta("installed_pages", refusal.installed_pages);
    let reason = error.reason();
    if reason == Reason::WrongState {
        error.precondition("LAUNCH_STATE", launch, &refusal.message)
    } else if matches!(reason, Reason::InvalidExtent | Reason::UnsupportedPageType) {
        error.field("page_type", &refusal.message)
    } else if reason == Reason::OutsideMemory {
        error.field("gpa", &refusal.message)
    } else if reason == Reason::MalformedRequest {
        error.field("sequence", &refusal.message)
    } else if reason == Reason::InvalidVcpuState {
        error.field(&format!("state.{}", refusal.field), &refusal.message)
    } else if reason == Reason::QueueFull {
        error.retry_after(QUEUE_RETRY)
    } else {
        error
    }
}

/// The error of a call whose launch has no host any more. `sent` tells whether the host may have had it.
pub(super) async fn lost(launch: &Launch, doing: &str, sent: bool) -> ApiError {
    // How the host went is known when its exit status is.
    if !launch.over().await {
        let text = format!(
            "the launch host of {} does not answer and its end is not known; look again with GetLaunch",
            launch.id
        );
        return ApiError::new(Reason::HostUnreachable, text).launch(&launch.id);
    }
    let status = launch.status();
    let state = status.snapshot.state;
    let error = |reason, text: String| {
        ApiError::new(reason, text)
            .launch(&launch.id)
            .meta("launch_state", state)
    };
    match (status.ending, sent) {
        (Some(Ending::Died(exit)), true) => {
            let text = format!(
                "the launch host of {} died ({}); the launch is over and its pages are gone, create a new one",
                launch.id, exit.status
            );
            error(Reason::HostDied, text)
        }
        // A request that had begun is answered before its host ends: this one had not.
        (Some(Ending::Told) | None, true) => {
            let text = format!(
                "cannot {doing}: launch {} was ended while this call waited",
                launch.id
            );
            error(Reason::AbortedDuringCall, text).meta("installed_pages", 0)
        }
        // How far a host came that had to be killed, nobody can say.
        (Some(Ending::Killed), true) => {
            let text = format!(
                "cannot {doing}: launch {} was ended, and its host, which did not react, was killed; its pages are gone",
                launch.id
            );
            error(Reason::AbortedDuringCall, text)
        }
        (_, false) => {
            let shown = launch.describe();
            let aborted = shown.abort.map(|cause| cause.message);
            let stopped = shown.stop.map(|cause| cause.message);
            let cause = aborted.or(stopped).unwrap_or_default();
            let expired = status
                .snapshot
                .abort
                .is_some_and(|cause| cause.reason == AbortReason::LeaseExpired);
            let reason = if expired {
                Reason::LeaseExpired
            } else {
                Reason::WrongState
            };
            let text = format!(
                "cannot {doing}: launch {} is {state} ({cause}); create a new launch",
                launch.id
            );
            error(reason, text.clone())
                .meta("installed_pages", 0)
                .precondition("LAUNCH_STATE", &launch.id, &text)
        }
    }
}
