//! A StagePagesStream in the hand of a test: what is sent, and when, and every answer in its place.
//!
//! **Invariant:** an answer out of order never reaches the test.
use stagepages_proto::v1::stage_pages_stream_response::Answer;
use stagepages_proto::v1::{
    StagePagesRequest, StagePagesResponse, StagePagesStreamRequest, StagePagesStreamResponse,
};
use stagepages_tests::{Api, call_status, refused};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// Requests that a test can send ahead of the daemon's reading.
const AHEAD: usize = 512;

/// An answer on a stream.
pub(crate) type Said = Result<StagePagesResponse, Status>;

/// An open stream.
#[derive(Debug)]
pub(crate) struct Talk {
    requests: Option<mpsc::Sender<StagePagesStreamRequest>>,
    answers: Streaming<StagePagesStreamResponse>,
    answered: u64,
}

impl Talk {
    /// Opens a stream; nothing is sent yet.
    pub(crate) async fn open(api: &Api) -> Self {
        let (requests, sent) = mpsc::channel(AHEAD);
        let answers = api
            .launches
            .clone()
            .stage_pages_stream(ReceiverStream::new(sent))
            .await
            .unwrap()
            .into_inner();
        Self {
            requests: Some(requests),
            answers,
            answered: 0,
        }
    }

    /// Sends a request, without waiting for anything.
    pub(crate) fn say(&self, request: StagePagesRequest) {
        self.say_raw(StagePagesStreamRequest {
            request: Some(request),
        });
    }

    /// Sends any message.
    pub(crate) fn say_raw(&self, message: StagePagesStreamRequest) {
        let requests = self.requests.as_ref().unwrap();
        // The daemon may have ended the stream; the answers say so.
        requests.try_send(message).ok();
    }

    /// Tells the daemon that nothing more comes.
    pub(crate) fn hang_up(&mut self) {
        self.requests = None;
    }

    /// The next answer; `None` when the stream ended well.
    pub(crate) async fn heard(&mut self) -> Result<Option<Said>, Status> {
        let Some(answer) = self.answers.message().await? else {
            return Ok(None);
        };
        assert_eq!(answer.index, self.answered, "{answer:?}");
        self.answered += 1;
        Ok(Some(match answer.answer {
            Some(Answer::Result(result)) => Ok(result),
            Some(Answer::Error(error)) => Err(call_status(error)),
            None => panic!("an answer without one"),
        }))
    }

    /// The next answer, which there must be.
    pub(crate) async fn answer(&mut self) -> Said {
        self.heard().await.unwrap().unwrap()
    }

    /// All answers up to the end, which must be a good one.
    pub(crate) async fn rest(&mut self) -> Vec<Said> {
        let mut rest = Vec::new();
        while let Some(said) = self.heard().await.unwrap() {
            rest.push(said);
        }
        rest
    }
}

/// Sends `requests` all at once on one stream, hangs up, and returns every answer.
pub(crate) async fn exchange(
    api: &Api,
    requests: impl IntoIterator<Item = StagePagesRequest>,
) -> Vec<Said> {
    let mut talk = Talk::open(api).await;
    for request in requests {
        talk.say(request);
    }
    talk.hang_up();
    talk.rest().await
}

/// Asserts that `behind`, which may be fewer than were sent, were all left alone.
#[track_caller]
pub(crate) fn not_applied(behind: Vec<Said>, sent: usize) {
    assert!(
        behind.len() <= sent,
        "{} answers to {sent} requests",
        behind.len()
    );
    for said in behind {
        refused(said, "NOT_APPLIED").installed(0);
    }
}
