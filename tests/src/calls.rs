//! Calls that are exactly-once, what became of them, and the status inside an answer.
//!
//! **Invariant:** nothing is asked twice here; a test that wants a repeat says so.
use stagepages_proto::v1::get_stage_result_response::Answer;
use stagepages_proto::v1::{GetStageResultRequest, StagePagesRequest, StagePagesResponse};
use tonic::{Code, Status};
use tonic_types::pb;

use crate::api::{Api, Extent};

/// What a call is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// Its number in a SEQUENCED launch.
    Number(u64),
    /// Its name.
    Name(String),
}

impl Key {
    /// A call known by `name`.
    #[must_use]
    pub fn name(name: impl Into<String>) -> Self {
        Self::Name(name.into())
    }

    /// The request for `extent` of launch `name`, known by this key.
    #[must_use]
    pub fn request(&self, name: &str, extent: Extent) -> StagePagesRequest {
        let request = extent.request(name);
        match self.clone() {
            Self::Number(sequence) => StagePagesRequest {
                sequence: Some(sequence),
                ..request
            },
            Self::Name(request_id) => StagePagesRequest {
                request_id,
                ..request
            },
        }
    }

    /// The answer that the call of this key got.
    ///
    /// # Errors
    /// That of the call, or of asking for it.
    pub async fn result(&self, api: &Api, launch: &str) -> Result<StagePagesResponse, Status> {
        let mut request = GetStageResultRequest {
            name: launch.to_owned(),
            ..GetStageResultRequest::default()
        };
        match self.clone() {
            Self::Number(sequence) => request.sequence = Some(sequence),
            Self::Name(request_id) => request.request_id = request_id,
        }
        call_result(api, request).await
    }
}

/// GetStageResult; an error that the call got is an error here, like one of GetStageResult itself.
///
/// # Errors
/// That of the call, or of asking for it.
///
/// # Panics
/// If the answer is empty.
pub async fn call_result(
    api: &Api,
    request: GetStageResultRequest,
) -> Result<StagePagesResponse, Status> {
    let answer = api.launches.clone().get_stage_result(request).await?;
    match answer.into_inner().answer {
        Some(Answer::Result(result)) => Ok(result),
        Some(Answer::Error(error)) => Err(call_status(error)),
        None => panic!("GetStageResult without an answer"),
    }
}

/// A status inside a message, as one that ends a call.
#[must_use]
pub fn call_status(inner: pb::Status) -> Status {
    use prost::Message as _;
    let details = inner.encode_to_vec();
    Status::with_details(Code::from(inner.code), inner.message, details.into())
}
