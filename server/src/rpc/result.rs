//! GetStageResult: the answer that a call got, from the host's memory, or from what it left behind.

use stagepages_host::{
    launch::{Answered, CallKey},
    protocol::{self, Command, Outcome},
};
use stagepages_proto::v1::{self, get_stage_result_response::Answer};

use super::{LaunchApi, ask, convert, decode, reason::Reason, status::ApiError};
use crate::auth::Caller;
use crate::daemon::{Ending, Launch};

impl LaunchApi {
    pub(super) async fn result(
        &self,
        caller: &Caller,
        request: v1::GetStageResultRequest,
    ) -> Result<v1::GetStageResultResponse, ApiError> {
        let launch = self.find(caller, &request.name, &request.uid)?;
        let key = decode::call_key(request.sequence, &request.request_id)
            .map_err(|error| error.launch(&launch.id))?;
        if key.sequence.is_some() == key.request_id.is_some() {
            let text = "set exactly one of sequence and request_id";
            return Err(ApiError::new(Reason::MalformedRequest, text)
                .launch(&launch.id)
                .field("sequence", text));
        }
        let found = match self.ask_host(&launch, &key).await? {
            Some(found) => found,
            None => self.left_behind(&launch, &key).await?,
        };
        let answer = match &found.applied {
            Ok(done) => Answer::Result(convert::staged(found.range, done)),
            // It ended the launch.
            Err(refusal) => Answer::Error(ask::refused(&launch, refusal).into_rpc_status()),
        };
        Ok(v1::GetStageResultResponse {
            gpa: found.range.start().gpa().get(),
            length: found.range.bytes(),
            page_type: convert::page_type(found.page_type).into(),
            answer: Some(answer),
        })
    }

    /// The living host's answer; `None` if the launch is over.
    async fn ask_host(&self, launch: &Launch, key: &CallKey) -> Result<Option<Answered>, ApiError> {
        if launch.status().ending.is_some() {
            return Ok(None);
        }
        let request_id = key
            .request_id
            .as_ref()
            .map(|id| id.as_bytes().to_vec())
            .unwrap_or_default();
        let get = protocol::GetResult {
            sequence: key.sequence,
            request_id,
        };
        // It queues behind a call that runs, and so waits for its answer.
        let Ok(answer) = launch.link.call(Command::GetResult(get), &[], None).await else {
            return Ok(None);
        };
        let Outcome::Remembered(found) = ask::told(launch, answer)? else {
            return Err(self.confused(launch));
        };
        let garbled =
            |error: protocol::BadMessage| ApiError::new(Reason::InternalError, error.to_string());
        Answered::try_from(found).map(Some).map_err(garbled)
    }

    /// Whether the living host remembers the answer of this call.
    pub(super) async fn is_answered(&self, launch: &Launch, key: &CallKey) -> bool {
        matches!(self.ask_host(launch, key).await, Ok(Some(_)))
    }

    /// What a launch that is over remembered.
    async fn left_behind(&self, launch: &Launch, key: &CallKey) -> Result<Answered, ApiError> {
        let Some(found) = launch.remembered(key).await else {
            // Of a host that told nothing at its end, nobody knows what it had applied.
            if !launch.over().await || !matches!(launch.status().ending, Some(Ending::Told)) {
                return Err(ask::lost(launch, "tell the answer", true).await);
            }
            let text = "no such call was applied before the launch was over, or its answer is no longer kept";
            return Err(ApiError::new(Reason::ResultNotFound, text)
                .launch(&launch.id)
                .meta("next_sequence", launch.status().snapshot.next_sequence));
        };
        Ok(found)
    }
}
