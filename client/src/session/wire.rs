//! The daemon, as a session talks to it: one stream at a time, and single questions beside it.
//!
//! **Invariant:** whatever waits for the daemon is bounded by the client's deadline, if there is one; the end of a stream always is.

use std::{pin::Pin, time::Duration};

use stagepages_proto::v1::{
    StagePagesRequest, StagePagesResponse, StagePagesStreamRequest, StagePagesStreamResponse,
    stage_pages_stream_response::Answer,
};
use tokio::{sync::mpsc, time::timeout};
use tonic::{Code, Streaming};

use super::fault::{Fault, fault};
use crate::{CallName, Client, LaunchRef, StagepagesError, reason};

/// How long the daemon may take to end a stream that nothing more is sent on.
const FAREWELL: Duration = Duration::from_secs(10);

/// What came from the stream.
#[derive(Debug)]
pub(super) enum Heard {
    /// The answer to the oldest request.
    Answer(Result<StagePagesResponse, StagepagesError>),
    /// No more will come.
    Broken(StagepagesError),
}

pub(super) struct Wire {
    client: Client,
    launch: LaunchRef,
    stream: Option<Stream>,
    /// Requests that a stream may hold; so sending never waits.
    room: usize,
}

struct Stream {
    requests: mpsc::Sender<StagePagesStreamRequest>,
    answers: Answers,
    heard: u64,
}

enum Answers {
    /// The daemon has not begun to answer. It may do so only with its first answer, so nobody waits for it before sending.
    Opening(Pin<Box<dyn Future<Output = Result<Incoming, StagepagesError>> + Send>>),
    Open(Box<Incoming>),
}

type Incoming = Streaming<StagePagesStreamResponse>;

impl Wire {
    pub(super) fn new(client: Client, launch: LaunchRef, room: usize) -> Self {
        Self {
            client,
            launch,
            stream: None,
            room: room.max(1),
        }
    }

    pub(super) fn launch(&self) -> &LaunchRef {
        &self.launch
    }

    /// Puts a request on the stream, a new one if there is none. A stream that is gone says so when it is listened to.
    pub(super) fn send(&mut self, request: StagePagesRequest) {
        let (client, room) = (&self.client, self.room);
        let stream = self.stream.get_or_insert_with(|| {
            let (requests, outgoing) = mpsc::channel(room);
            let opening = client.clone().stage_pages_stream(outgoing);
            Stream {
                requests,
                answers: Answers::Opening(Box::pin(opening)),
                heard: 0,
            }
        });
        let request = StagePagesStreamRequest {
            request: Some(request),
        };
        // There is room for all that may be unanswered; what fails here is a stream that is gone.
        drop(stream.requests.try_send(request));
    }

    /// The next answer.
    pub(super) async fn hear(&mut self) -> Heard {
        let Some(stream) = &mut self.stream else {
            return Heard::Broken(StagepagesError::bad_answer("there is no stream"));
        };
        let answer = match self.client.timeout() {
            Some(limit) => timeout(limit, stream.answers.next())
                .await
                .unwrap_or_else(|_elapsed| Err(no_answer_in(limit))),
            None => stream.answers.next().await,
        };
        match answer {
            Ok(Some(response)) => {
                let index = stream.heard;
                stream.heard += 1;
                heard(index, response)
            }
            Ok(None) => Heard::Broken(StagepagesError::from(tonic::Status::unavailable(
                "the stream ended before all its requests were answered",
            ))),
            // The daemon refuses the stream, in the place of the next answer.
            Err(error) if fault(&error) == Fault::Final => Heard::Answer(Err(error)),
            Err(error) => Heard::Broken(error),
        }
    }

    /// Ends the stream and hears what it still says: whether anything but NOT_APPLIED was among at most `unanswered` answers.
    pub(super) async fn close(&mut self, unanswered: usize) -> bool {
        let Some(Stream {
            requests,
            mut answers,
            ..
        }) = self.stream.take()
        else {
            return false;
        };
        drop(requests);
        let rest = async {
            for _ in 0..=unanswered {
                match answers.next().await {
                    Ok(Some(response)) if not_applied(&response) => {}
                    Ok(Some(_)) => return true,
                    Ok(None) | Err(_) => return false,
                }
            }
            true
        };
        // Silence changes nothing: behind a stop, nothing is applied.
        timeout(FAREWELL, rest).await.unwrap_or(false)
    }

    /// The stream is gone.
    pub(super) fn forget_stream(&mut self) {
        self.stream = None;
    }

    /// The answer kept for this name; `None` if there is none.
    ///
    /// Alone with the wire, like all that waits here: an opening stream is no `Sync`, so a future that shared the wire would be no `Send`.
    pub(super) async fn ask(
        &mut self,
        request_id: String,
    ) -> Result<Option<Result<StagePagesResponse, StagepagesError>>, StagepagesError> {
        let name = CallName::RequestId(request_id);
        match self.client.stage_result(&self.launch, &name).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.reason() == Some(reason::RESULT_NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The launch's next sequence number.
    pub(super) async fn next_sequence(&mut self) -> Result<u64, StagepagesError> {
        Ok(self.client.get_launch(&self.launch).await?.next_sequence)
    }
}

impl Answers {
    async fn next(&mut self) -> Result<Option<StagePagesStreamResponse>, StagepagesError> {
        loop {
            match self {
                Self::Opening(opening) => {
                    let open = opening.as_mut().await?;
                    *self = Self::Open(Box::new(open));
                }
                Self::Open(open) => return Ok(open.message().await?),
            }
        }
    }
}

fn heard(index: u64, response: StagePagesStreamResponse) -> Heard {
    if response.index != index {
        return Heard::Answer(Err(StagepagesError::bad_answer(format!(
            "answer {} came where answer {index} was due",
            response.index
        ))));
    }
    Heard::Answer(match response.answer {
        Some(Answer::Result(result)) => Ok(result),
        Some(Answer::Error(status)) => Err(StagepagesError::from(&status)),
        None => Err(StagepagesError::bad_answer(
            "the answer lacks a result and an error",
        )),
    })
}

fn not_applied(response: &StagePagesStreamResponse) -> bool {
    let Some(Answer::Error(status)) = &response.answer else {
        return false;
    };
    StagepagesError::from(status).reason() == Some(reason::NOT_APPLIED)
}

fn no_answer_in(limit: Duration) -> StagepagesError {
    StagepagesError::refused_here(
        Code::DeadlineExceeded,
        reason::DEADLINE_EXPIRED,
        format!("no answer came within {limit:?}"),
        [],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_out_of_turn_is_believed_in_nothing() {
        let response = StagePagesStreamResponse {
            index: 3,
            answer: Some(Answer::Result(StagePagesResponse::default())),
        };
        assert!(matches!(heard(3, response.clone()), Heard::Answer(Ok(_))));
        assert!(
            matches!(heard(2, response), Heard::Answer(Err(error)) if fault(&error) == Fault::Final)
        );
    }
}
