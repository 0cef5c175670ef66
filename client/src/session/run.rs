//! Does what the machine says, and tells it what happened.
//!
//! **Invariant:** decides nothing but how long to wait.

use std::time::Instant;

use tokio::time::sleep;

use super::{
    fault::{Fault, fault},
    feed::Feed,
    machine::{Action, Machine, Tally},
    retry::Patience,
    wire::{Heard, Wire},
};
use crate::StagepagesError;

/// Stages what `feed` gives, until the machine has nothing more to do.
pub(super) async fn drive(
    machine: &mut Machine,
    wire: &mut Wire,
    mut feed: Feed<'_>,
    mut patience: Patience,
    mut progress: impl FnMut(Tally),
) {
    loop {
        match machine.next() {
            Action::Over => break,
            Action::Read => match feed.next().await {
                Ok(Some(piece)) => machine.push(piece),
                Ok(None) => machine.exhausted(),
                Err(error) => machine.unreadable(error),
            },
            Action::Send => {
                if let Some(request) = machine.send(wire.launch()) {
                    wire.send(request);
                }
            }
            Action::Await => match wire.hear().await {
                Heard::Answer(answer) => machine.answered(answer),
                Heard::Broken(error) => {
                    wire.forget_stream();
                    machine.lost(error);
                }
            },
            Action::Close { unanswered } => machine.closed(wire.close(unanswered).await),
            Action::Ask(at) => match wire.ask(machine.request_id(at)).await {
                Ok(Some(answer)) => machine.found(at, answer),
                Ok(None) => machine.not_found(at),
                Err(error) => machine.failed(error),
            },
            Action::Number => match wire.next_sequence().await {
                Ok(next) => machine.numbered(next),
                Err(error) => machine.failed(error),
            },
            Action::Pause => pause(machine, &mut patience).await,
        }
        if machine.take_progress() {
            patience.progressed();
            progress(machine.tally());
        }
    }
    wire.close(0).await;
}

async fn pause(machine: &mut Machine, patience: &mut Patience) {
    let asked = machine.fault().and_then(StagepagesError::retry_after);
    match patience.failed(Instant::now(), asked, random()) {
        Some(wait) => {
            sleep(wait).await;
            machine.resume();
        }
        None => machine.give_up(),
    }
}

/// Repeats a question that changes nothing.
///
/// Not an async closure: futures of those that borrow are not known to be `Send`.
pub(crate) async fn patiently<T, Q: Future<Output = Result<T, StagepagesError>>>(
    patience: &mut Patience,
    mut question: impl FnMut() -> Q,
) -> Result<T, StagepagesError> {
    loop {
        let error = match question().await {
            Ok(answer) => {
                patience.progressed();
                return Ok(answer);
            }
            Err(error) if matches!(fault(&error), Fault::Lost | Fault::Later) => error,
            Err(error) => return Err(error),
        };
        match patience.failed(Instant::now(), error.retry_after(), random()) {
            Some(wait) => sleep(wait).await,
            None => return Err(error),
        }
    }
}

/// Without randomness, the longest wait.
pub(crate) fn random() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX)
}
