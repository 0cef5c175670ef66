//! AttachConsole: what a guest writes, to whoever listens, and what they send, to its serial port.
//!
//! ```text
//!  requests ─▶ speak ──input, as the guest takes it──▶ host
//!  answers  ◀─ listen ◀── the console's tape, from where this reader is
//! ```
//!
//! Both go on side by side. A client that sends no more goes on listening; one that sends faster than the guest reads is not read. The end
//! comes with the guest's, with the client's, or with the daemon's, which does not wait for a guest.
//!
//! **Invariant:** a reader that is slow holds one answer on its way and no more: what it misses meanwhile is forgotten, not queued.

use std::sync::Arc;

use stagepages_host::{guest::ConsolePort, protocol::CONSOLE_INPUT};
use stagepages_proto::v1::{self, AttachConsoleRequest, AttachConsoleResponse};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::{LaunchApi, reason::Reason, status::ApiError, stream::same_launch};
use crate::auth::Caller;
use crate::daemon::{Launch, Piece};

/// Output in one answer, in bytes; what a reader that pauses may hold of them, `net` has set aside (`PAUSE_BYTES`).
const ANSWER_BYTES: usize = 8 << 10;

/// What a listener is sent.
pub(super) type Output = mpsc::Receiver<Result<AttachConsoleResponse, Status>>;

/// Serves one stream, on a task of its own. Not among the calls that the daemon's end waits for.
pub(super) fn serve(
    api: LaunchApi,
    caller: Caller,
    requests: Streaming<AttachConsoleRequest>,
) -> Output {
    let (answers, received) = mpsc::channel(1);
    tokio::spawn(crate::trace::carried(async move {
        let outcome = tokio::select! {
            biased;
            () = answers.closed() => return,
            () = api.registry.drained() => Err(draining().into()),
            outcome = attach(&api, &caller, &answers, requests) => outcome,
        };
        if let Err(status) = outcome {
            // The client may be gone, then nobody is told.
            answers.send(Err(status)).await.ok();
        }
    }));
    received
}

async fn attach(
    api: &LaunchApi,
    caller: &Caller,
    answers: &mpsc::Sender<Result<AttachConsoleResponse, Status>>,
    mut requests: Streaming<AttachConsoleRequest>,
) -> Result<(), Status> {
    let Some(first) = requests.message().await? else {
        let text = "the first request is required: it names the launch";
        return Err(ApiError::new(Reason::MalformedRequest, text)
            .field("name", text)
            .into());
    };
    let launch = api.find(caller, &first.name, &first.uid)?;
    if launch.status().started.is_none() {
        return Err(never_ran(&launch).into());
    }
    tokio::select! {
        () = listen(&launch, answers) => Ok(()),
        status = speak(&launch, first, requests) => Err(status),
    }
}

/// Tells what the guest writes until it has stopped and everything was told, or nobody listens.
async fn listen(
    launch: &Arc<Launch>,
    answers: &mpsc::Sender<Result<AttachConsoleResponse, Status>>,
) {
    let mut status = launch.watch();
    let mut tape = launch.console.listen();
    let mut at = 0;
    loop {
        // Before the tape is looked at: all output is told before the end is, but for what is owed.
        let over = status.borrow_and_update().ending.is_some();
        let (piece, owed) = {
            let tape = tape.borrow_and_update();
            (tape.read(at, ANSWER_BYTES), tape.is_owed())
        };
        match piece {
            Some(piece) => {
                at = piece.end();
                if answers.send(Ok(answer(piece))).await.is_err() {
                    return;
                }
            }
            None if over && !owed => return,
            // Neither sender is gone while the launch is held.
            None => tokio::select! {
                changed = tape.changed() => drop(changed),
                changed = status.changed() => drop(changed),
            },
        }
    }
}

/// Passes input on until something is wrong with it. A client that sends no more is no reason to end.
async fn speak(
    launch: &Arc<Launch>,
    first: AttachConsoleRequest,
    mut requests: Streaming<AttachConsoleRequest>,
) -> Status {
    let mut request = first;
    loop {
        if let Err(error) = check(&request, launch) {
            return error.into();
        }
        launch.write_console(&request.input).await;
        request = match requests.message().await {
            Ok(Some(next)) => next,
            Ok(None) => std::future::pending().await,
            Err(status) => return status,
        };
    }
}

fn check(request: &AttachConsoleRequest, launch: &Launch) -> Result<(), ApiError> {
    same_launch(&request.name, &request.uid, launch)?;
    // It waits here until the guest takes it, which may be never.
    if request.input.len() > CONSOLE_INPUT {
        let text = format!(
            "input has {} bytes; send at most {CONSOLE_INPUT} in one request",
            request.input.len()
        );
        return Err(ApiError::new(Reason::MessageTooLarge, text.clone())
            .launch(&launch.id)
            .field("input", &text));
    }
    Ok(())
}

fn answer(piece: Piece) -> AttachConsoleResponse {
    let output = |(port, data): (ConsolePort, Vec<u8>)| {
        let port = match port {
            ConsolePort::Serial => v1::ConsolePort::Serial,
            ConsolePort::Debug => v1::ConsolePort::Debug,
        };
        v1::ConsoleOutput {
            port: port.into(),
            data: data.into(),
        }
    };
    AttachConsoleResponse {
        offset: piece.offset,
        output: piece.runs.into_iter().map(output).collect(),
    }
}

fn never_ran(launch: &Launch) -> ApiError {
    let state = launch.status().snapshot.state;
    let text = format!(
        "launch {} is {state} and its guest never ran, so it has no console; start it first",
        launch.id
    );
    ApiError::new(Reason::WrongState, text.clone())
        .launch(&launch.id)
        .meta("launch_state", state)
        .precondition("LAUNCH_STATE", &launch.id, &text)
}

fn draining() -> ApiError {
    let text = "the daemon is shutting down; the guest runs on, attach again when it is back";
    ApiError::new(Reason::Draining, text)
}
