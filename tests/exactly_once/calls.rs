//! Calls that are exactly-once, what became of them, and the status inside an answer.
//!
//! **Invariant:** nothing is asked twice here; a test that wants a repeat says so.
use stagepages_proto::v1::get_stage_result_response::Answer;
use stagepages_proto::v1::{
    GetStageResultRequest, Launch, OrderingMode, StagePagesRequest, StagePagesResponse,
};
use stagepages_tests::{Api, Bench, Extent, PAGE, page, region, spec};
use tonic::{Code, Status};
use tonic_types::pb;

/// Pages of the launches that [`sequenced`] makes.
const PAGES: u64 = 1024;

/// What a call is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// Its number in a SEQUENCED launch.
    Number(u64),
    /// Its name.
    Name(String),
}

impl Key {
    pub(crate) fn name(name: impl Into<String>) -> Self {
        Self::Name(name.into())
    }

    /// The request for `extent` of launch `name`, known by this key.
    pub(crate) fn request(&self, name: &str, extent: Extent) -> StagePagesRequest {
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
    pub(crate) async fn result(
        &self,
        api: &Api,
        launch: &str,
    ) -> Result<StagePagesResponse, Status> {
        let mut request = GetStageResultRequest {
            name: launch.to_owned(),
            ..GetStageResultRequest::default()
        };
        match self.clone() {
            Self::Number(sequence) => request.sequence = Some(sequence),
            Self::Name(request_id) => request.request_id = request_id,
        }
        result(api, request).await
    }
}

/// GetStageResult; an error that the call got is an error here, like one of GetStageResult itself.
pub(crate) async fn result(
    api: &Api,
    request: GetStageResultRequest,
) -> Result<StagePagesResponse, Status> {
    let answer = api.launches.clone().get_stage_result(request).await?;
    match answer.into_inner().answer {
        Some(Answer::Result(result)) => Ok(result),
        Some(Answer::Error(error)) => Err(status(error)),
        None => panic!("GetStageResult without an answer"),
    }
}

/// A status inside a message, as one that ends a call.
pub(crate) fn status(inner: pb::Status) -> Status {
    use prost::Message as _;
    let details = inner.encode_to_vec();
    Status::with_details(Code::from(inner.code), inner.message, details.into())
}

/// Creates a SEQUENCED launch with one region of 4 MiB at address 0.
pub(crate) async fn sequenced(bench: &Bench, id: &str) -> Launch {
    let mut spec = spec(bench.platform, [region(page(0), PAGES * PAGE)]);
    spec.ordering = OrderingMode::Sequenced.into();
    bench.api.create(id, spec).await.unwrap()
}

/// Asserts a complete install of `pages` pages from page `first` on.
#[track_caller]
pub(crate) fn assert_complete(answer: &StagePagesResponse, first: u64, pages: u64) {
    let whole = StagePagesResponse {
        installed_pages: pages,
        next_gpa: page(first + pages).get(),
        stop: None,
    };
    assert_eq!(*answer, whole);
}
