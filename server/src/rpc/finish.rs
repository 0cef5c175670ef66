//! FinishLaunch, and GetRejectedCpuid: what firmware is given, and what it would have had otherwise.
//!
//! **Invariant:** a host that does not know an argument, or would compare it with another digest, is never asked to finish.

use stagepages_host::{launch::State, protocol};
use stagepages_proto::v1;

use super::{LaunchApi, ask, convert::hex, reason::Reason, settings, status::ApiError};
use crate::auth::Caller;

impl LaunchApi {
    pub(super) async fn finish(
        &self,
        caller: &Caller,
        request: v1::FinishLaunchRequest,
    ) -> Result<v1::Launch, ApiError> {
        let launch = self.find(caller, &request.name, &request.uid)?;
        let arguments = settings::finish(&request).map_err(|error| error.launch(&launch.id))?;
        launch.lease.touch();
        if let Some(first) = launch.first_finish(&arguments) {
            return Ok(first);
        }
        if let Err(unsupported) = launch.guards(&arguments) {
            // The link of a launch that is over knows no version any more.
            ask::not_over(&launch, "finish").await?;
            return Err(unsupported);
        }
        launch.asked_for.note(State::Finished);
        let command = protocol::Command::Finish(arguments.clone());
        let answer = self.call(&launch, "finish", command).await?;
        // The launch as this answer saw it: an abort may have come since.
        let finished_as = answer
            .snapshot
            .clone()
            .unwrap_or_else(|| launch.status().snapshot);
        let refusal = answer.outcome.as_ref().err().cloned();
        match ask::told(&launch, answer) {
            Ok(_) => {
                launch.tell_states();
                Ok(launch.keep_finish(arguments, &finished_as).await)
            }
            Err(error) if error.reason() == Reason::DigestMismatch => {
                let field = refusal.map(|refusal| refusal.field).unwrap_or_default();
                Err(error
                    .meta("expected", hex(arguments.digest_of(&field)))
                    .meta("field", field))
            }
            Err(error) => Err(match &refusal {
                Some(refusal) => settings::blame(error, "", refusal),
                None => error,
            }),
        }
    }

    pub(super) async fn rejected_cpuid(
        &self,
        caller: &Caller,
        request: v1::GetRejectedCpuidRequest,
    ) -> Result<v1::GetRejectedCpuidResponse, ApiError> {
        const DOING: &str = "tell the CPUID page that firmware refused";
        let launch = self.find(caller, &request.name, &request.uid)?;
        if launch.status().ending.is_some() {
            let text = "the launch is over, and what its host kept is gone with it";
            return Err(ApiError::new(Reason::ResultNotFound, text).launch(&launch.id));
        }
        let command = protocol::Command::GetRejectedCpuid(protocol::GetRejectedCpuid {});
        launch.knows(&command, DOING)?;
        let protocol::Outcome::RejectedCpuid(rejected) = self.ask(&launch, DOING, command).await?
        else {
            return Err(self.confused(&launch));
        };
        Ok(v1::GetRejectedCpuidResponse {
            rejected: Some(settings::rejected_cpuid(&rejected.into())),
        })
    }
}
