//! The answers of staging calls: a stream of them, and those that the launch host keeps.
//!
//! **Invariant:** an error that a call got is told apart from an error of asking for it.

use stagepages_proto::v1::{
    self, GetStageResultRequest, StagePagesStreamRequest, get_stage_result_response::Answer,
    launch_service_client::LaunchServiceClient,
};
use tokio::sync::mpsc;
use tonic::Streaming;
use tower::ServiceExt as _;

use super::{Client, MAX_ANSWER, data_body::carrying};
use crate::{LaunchRef, StagepagesError};

/// What a staging call is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallName {
    /// Its number in a SEQUENCED launch.
    Sequence(u64),
    /// Its `request_id`.
    RequestId(String),
}

impl Client {
    /// The answer that the call of this name got: the inner error is the call's own.
    ///
    /// Waits while that call is with the launch host.
    ///
    /// # Errors
    /// RESULT_NOT_FOUND (not applied, or no longer kept), LAUNCH_NOT_FOUND, MALFORMED_REQUEST.
    pub async fn stage_result(
        &self,
        launch: &LaunchRef,
        call: &CallName,
    ) -> Result<Result<v1::StagePagesResponse, StagepagesError>, StagepagesError> {
        let (sequence, request_id) = match call {
            CallName::Sequence(number) => (Some(*number), String::new()),
            CallName::RequestId(id) => (None, id.clone()),
        };
        let request = self.request(GetStageResultRequest {
            name: launch.name().into(),
            uid: launch.uid().into(),
            sequence,
            request_id,
        });
        let answer = self
            .launches
            .clone()
            .get_stage_result(request)
            .await?
            .into_inner()
            .answer;
        match answer {
            Some(Answer::Result(result)) => Ok(Ok(result)),
            Some(Answer::Error(status)) => Ok(Err(StagepagesError::from(&status))),
            None => Err(StagepagesError::bad_answer(
                "the answer lacks a result and an error",
            )),
        }
    }

    /// Stages what comes from `requests`, one answer for each. Without a deadline: a stream lasts as long as there is something to send.
    pub(crate) async fn stage_pages_stream(
        self,
        requests: mpsc::Receiver<StagePagesStreamRequest>,
    ) -> Result<Streaming<v1::StagePagesStreamResponse>, StagepagesError> {
        let request = self.without_deadline(tokio_stream::empty());
        let channel = self.channel.map_request(carrying(requests));
        let mut launches = LaunchServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER);
        let answers = launches.stage_pages_stream(request).await?;
        Ok(answers.into_inner())
    }
}
