//! SetVcpuState, StartLaunch and StopLaunch.
//!
//! **Invariant:** a launch that is asked to start or stop does so whether or not the caller waits for it.

use std::sync::Arc;

use stagepages_host::{launch::State, protocol::Command};
use stagepages_proto::v1;

use super::{LaunchApi, ask, reason::Reason, status::ApiError, vcpu};
use crate::auth::Caller;
use crate::daemon::Launch;

impl LaunchApi {
    pub(super) async fn set_vcpu(
        &self,
        caller: &Caller,
        request: v1::SetVcpuStateRequest,
    ) -> Result<v1::Launch, ApiError> {
        const DOING: &str = "set a vCPU's state";
        let launch = self.find(caller, &request.name, &request.uid)?;
        let malformed = |field: &str, text: &str| {
            ApiError::new(Reason::MalformedRequest, format!("{field}: {text}"))
                .launch(&launch.id)
                .field(field, text)
        };
        let state = request
            .state
            .ok_or_else(|| malformed("state", "is required"))?;
        let state = vcpu::state(&state, vcpu::count(&launch.spec))
            .map_err(|(field, text)| malformed(&format!("state.{field}"), &text))?;
        launch.lease.touch();
        // First, because what is over is not worth words about its host.
        ask::not_over(&launch, DOING).await?;
        launch.takes_guest_commands(DOING)?;
        let command = Command::SetVcpu(state);
        launch.knows(&command, DOING)?;
        self.ask(&launch, DOING, command).await?;
        Ok(launch.describe())
    }

    pub(super) async fn start(
        &self,
        caller: &Caller,
        request: v1::StartLaunchRequest,
    ) -> Result<v1::Launch, ApiError> {
        const DOING: &str = "start the guest";
        let launch = self.find(caller, &request.name, &request.uid)?;
        launch.lease.touch();
        ask::not_over(&launch, DOING).await?;
        launch.takes_guest_commands(DOING)?;
        launch.asked_for.note(State::Running);
        let starting = Arc::clone(&launch);
        let started = self.see_through(async move { starting.start().await });
        let Ok(answer) = started.await? else {
            return Err(ask::lost(&launch, DOING, true).await);
        };
        // The launch as this answer saw it: the guest may have stopped since.
        let started_as = answer.snapshot.clone();
        ask::told(&launch, answer)?;
        launch.tell_states();
        let status = launch.status();
        let started_as = started_as.unwrap_or_else(|| status.snapshot.clone());
        tracing::info!(launch = launch.id, state = %started_as.state, "guest started");
        Ok(launch.describe_as(&status, &started_as))
    }

    pub(super) async fn stop(
        &self,
        caller: &Caller,
        request: v1::StopLaunchRequest,
    ) -> Result<v1::Launch, ApiError> {
        const DOING: &str = "stop the guest";
        let launch = self.find(caller, &request.name, &request.uid)?;
        match launch.status().snapshot.state {
            State::Running | State::Stopped => {}
            State::Aborted => return Err(ask::lost(&launch, DOING, false).await),
            state @ (State::Created | State::Staging | State::Finished) => {
                return Err(not_running(&launch, state));
            }
        }
        launch.asked_for.note(State::Stopped);
        let stopping = Arc::clone(&launch);
        let stopped = self.see_through(async move { stopping.stop().await });
        let stopped = stopped.await?;
        // However it went: a guest may stop by itself at the same time.
        if launch.status().snapshot.state == State::Stopped {
            launch.tell_states();
            return Ok(launch.describe());
        }
        match stopped {
            Err(Some(answer)) => {
                ask::told(&launch, answer)?;
                Err(self.confused(&launch))
            }
            Ok(()) | Err(None) => Err(ask::lost(&launch, DOING, true).await),
        }
    }

    /// Runs `work` in a task of its own, which counts as a call in progress.
    fn see_through<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T, ApiError>> {
        let task = self.calls().spawn(crate::trace::carried(work));
        async move {
            task.await.map_err(|error| {
                tracing::error!(%error, "a call's own task");
                ApiError::new(
                    Reason::InternalError,
                    "the call was not seen through; look at the launch with GetLaunch",
                )
            })
        }
    }
}

fn not_running(launch: &Launch, state: State) -> ApiError {
    let text = format!(
        "cannot stop the guest of launch {}: it is {state} and does not run; start it first, or abort the launch",
        launch.id
    );
    ApiError::new(Reason::WrongState, text.clone())
        .launch(&launch.id)
        .meta("launch_state", state)
        .precondition("LAUNCH_STATE", &launch.id, &text)
}
