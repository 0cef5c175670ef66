//! StagePagesStream: extents one after the other, answers in their order, and the stop rule.
//!
//! ```text
//!  requests ─▶ reader ─── checked, handed to the host ──▶ (a few begun calls) ─▶ writer ─▶ answers
//!                ▲                                                                 │
//!                └───────────────── stop: read no more ◀───────────────────────────┘
//! ```
//!
//! The reader hands calls to the host ahead of their answers, so that receiving, copying and installing overlap. The host applies the stop
//! rule itself: what it gets of a stream behind a stop it answers NOT_APPLIED. Both channels are short: a client that does not read its
//! answers is not read either.
//!
//! **Invariant:** behind the first answer that is not a complete install, every answer is NOT_APPLIED, and true.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use stagepages_host::protocol::{Command, EndStream};
use stagepages_proto::v1::{self, stage_pages_stream_response::Answer};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{
    LaunchApi, decode,
    reason::Reason,
    stage::{self, Begun, Call},
    status::ApiError,
};
use crate::auth::Caller;
use crate::daemon::Launch;
use crate::trace::{self, Part};

/// Calls of one stream that are with the host at one time: enough to keep it busy, and half of a launch's slots.
const DEPTH: usize = 4;

/// The method, as it is called where refusals are counted.
const METHOD: &str = "stagepages.v1.LaunchService/StagePagesStream";

/// Numbers of streams, unique in this daemon.
static STREAMS: AtomicU64 = AtomicU64::new(1);

/// What answers are made of.
pub(super) type Answers = mpsc::Receiver<Result<v1::StagePagesStreamResponse, Status>>;

/// A request that was read, with its span: with the host, or refused before.
type Read = (Part, Result<Begun, ApiError>);

/// Serves one stream, on tasks of its own.
pub(super) fn serve(
    api: LaunchApi,
    caller: Caller,
    requests: Streaming<v1::StagePagesStreamRequest>,
) -> Answers {
    let (answers, received) = mpsc::channel(DEPTH);
    // Known on the call's own task only.
    let deadline = crate::net::deadline();
    let served = async move {
        let _call = api.calls().token();
        Stream {
            api,
            caller,
            answers,
            stop: CancellationToken::new(),
            number: STREAMS.fetch_add(1, Ordering::Relaxed),
            deadline,
        }
        .run(requests)
        .await;
    };
    tokio::spawn(trace::carried(crate::audit::carried(served)));
    received
}

struct Stream {
    api: LaunchApi,
    caller: Caller,
    answers: mpsc::Sender<Result<v1::StagePagesStreamResponse, Status>>,
    stop: CancellationToken,
    number: u64,
    deadline: Option<Instant>,
}

impl Stream {
    async fn run(self, mut requests: Streaming<v1::StagePagesStreamRequest>) {
        let first = match self.next(&mut requests).await {
            Ok(Some(first)) => first,
            Ok(None) => return,
            Err(status) => return self.fail(status).await,
        };
        let launch = match self.api.find(&self.caller, &first.name, &first.uid) {
            Ok(launch) => launch,
            Err(error) => return self.fail(error.into()).await,
        };
        // One more is with the reader, and one with the writer.
        let (begun, to_answer) = mpsc::channel(DEPTH - 2);
        let (failed, ()) = tokio::join!(
            self.read(&launch, first, requests, begun),
            self.write(&launch, to_answer)
        );
        launch
            .link
            .tell(Command::EndStream(EndStream {
                stream: self.number,
            }))
            .await;
        if let Some(status) = failed {
            self.fail(status).await;
        }
    }

    /// Reads requests until the client has sent all, or something stops the stream. Returns what is wrong with the stream itself.
    async fn read(
        &self,
        launch: &Arc<Launch>,
        first: v1::StagePagesRequest,
        mut requests: Streaming<v1::StagePagesStreamRequest>,
        begun: mpsc::Sender<Read>,
    ) -> Option<Status> {
        let mut request = first;
        loop {
            if let Err(error) = same_launch(&request.name, &request.uid, launch) {
                return Some(error.into());
            }
            let call = Call::decode(&request, self.number, self.deadline)
                .map_err(|error| stage::untouched(launch, error));
            drop(request);
            let part = trace::part("extent");
            let read = match call {
                // Until it is sent, a call of a client that is gone is not begun.
                Ok(call) => tokio::select! {
                    biased;
                    () = self.answers.closed() => return None,
                    begun = part.run(self.begin(launch, call)) => begun,
                },
                Err(error) => Err(error),
            };
            let refused = read.is_err();
            // Behind a request that cannot be applied nothing is, so nothing is read.
            if begun.send((part, read)).await.is_err() || refused {
                return None;
            }
            request = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = self.answers.closed() => return None,
                next = self.next(&mut requests) => match next {
                    Ok(Some(next)) => next,
                    Ok(None) => return None,
                    Err(status) => return Some(status),
                },
            };
        }
    }

    async fn begin(&self, launch: &Arc<Launch>, call: Call) -> Result<Begun, ApiError> {
        // A stream waits where a single call would be told QUEUE_FULL.
        let waiting = trace::step("calls");
        let turn = launch.calls.clone().acquire_owned().await;
        drop(waiting);
        let turn = turn.map_err(|_closed| {
            ApiError::new(Reason::InternalError, "the launch takes no calls any more")
        })?;
        self.api.begin(launch, call, turn).await
    }

    /// Answers what was read, in order.
    async fn write(&self, launch: &Arc<Launch>, mut to_answer: mpsc::Receiver<Read>) {
        let mut index = 0;
        let mut stopped = false;
        while let Some((part, read)) = to_answer.recv().await {
            let answer = match read {
                Ok(begun) => part.run(begun.answer(&self.api, launch)).await,
                Err(error) => Err(error),
            };
            // The host answers so by itself, unless it ended with the launch, or the request never reached it.
            let answer = if stopped {
                answer.map_err(|_consequence| not_applied(launch))
            } else {
                answer
            };
            part.end(answer.as_ref().err());
            // What follows from it is not worth a record of its own.
            if let (Err(error), false) = (&answer, stopped) {
                crate::audit::refused(error);
                trace::refused(error);
                let calls = launch.metrics.calls();
                calls.refused_within(METHOD, error.reason().as_str());
            }
            if !matches!(&answer, Ok(v1::StagePagesResponse { stop: None, .. })) {
                stopped = true;
                self.stop.cancel();
            }
            let answer = match answer {
                Ok(result) => Answer::Result(result),
                Err(error) => Answer::Error(error.into_rpc_status()),
            };
            let response = v1::StagePagesStreamResponse {
                index,
                answer: Some(answer),
            };
            // A client that went away reads nothing; what was begun is answered all the same, to nobody.
            if self.answers.send(Ok(response)).await.is_err() {
                self.stop.cancel();
            }
            index += 1;
        }
    }

    async fn next(
        &self,
        requests: &mut Streaming<v1::StagePagesStreamRequest>,
    ) -> Result<Option<v1::StagePagesRequest>, Status> {
        let Some(message) = requests.message().await? else {
            return Ok(None);
        };
        let missing = || {
            ApiError::new(Reason::MalformedRequest, "request is required")
                .field("request", "is required")
        };
        Ok(Some(message.request.ok_or_else(missing)?))
    }

    async fn fail(&self, status: Status) {
        // The client may be gone, then nobody is told.
        self.answers.send(Err(status)).await.ok();
    }
}

/// Checks what a later request of a stream says of its launch: nothing, or the same as the first.
pub(super) fn same_launch(name: &str, uid: &str, launch: &Launch) -> Result<(), ApiError> {
    let other = |field: &str| {
        let text = format!(
            "{field} names another launch than the first request of this stream, {}; use a stream for each launch",
            launch.id
        );
        ApiError::new(Reason::MalformedRequest, text.clone())
            .launch(&launch.id)
            .field(field, &text)
    };
    if !name.is_empty() && decode::launch_name(name)? != launch.id {
        return Err(other("name"));
    }
    if !uid.is_empty() && uid != launch.uid {
        return Err(other("uid"));
    }
    Ok(())
}

fn not_applied(launch: &Launch) -> ApiError {
    let text = "an earlier request of this stream stopped short; nothing behind it is applied, send this again";
    stage::untouched(launch, ApiError::new(Reason::NotApplied, text))
}
