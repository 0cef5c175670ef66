//! Whether a launch's host gives signs of life.
//!
//! A dead host is reported by the supervisor. One that is stopped, or stuck in the kernel, is found only by asking. It is not ended for that: it may
//! come back. But nobody has to wait for it in the dark, its launch's lease runs on, and AbortLaunch ends it within a bound.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use stagepages_host::protocol::{Command, Outcome, Ping};

use super::{Answer, Launch, LinkLost};

/// Between two questions.
const EVERY: Duration = Duration::from_secs(2);

/// How long an answer may take. It comes from a thread that does nothing else.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the launch thread may be silent inside a request: many times what a chunk takes on the slowest firmware.
const LONGEST_CHUNK: Duration = Duration::from_secs(60);

impl Launch {
    /// Asks the host, one question at a time, until it is gone.
    pub(super) async fn watch_pulse(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.link.lost() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let mut answer = pin!(self.link.call(Command::Ping(Ping {}), &[], None));
            let answered = tokio::time::timeout(PATIENCE, &mut answer).await;
            if answered.is_err() {
                self.note(false);
            }
            let answered = match answered {
                Ok(answered) => answered,
                // The same question still: a host that comes back answers it.
                Err(_elapsed) => answer.await,
            };
            match answered {
                Ok(answer) => self.note(gets_on(&answer)),
                // Its end is told otherwise.
                Err(LinkLost) => return,
            }
        }
    }

    fn note(&self, lives: bool) {
        self.status.send_if_modified(|status| {
            let was = status.unresponsive.is_none();
            if lives == was || status.released {
                return false;
            }
            if lives {
                tracing::info!(launch = self.id, "the launch host answers again");
                status.unresponsive = None;
            } else {
                tracing::error!(
                    launch = self.id,
                    "the launch host gives no sign of life; AbortLaunch ends it"
                );
                status.unresponsive = Some(SystemTime::now());
            }
            true
        });
    }
}

/// Whether the launch thread waits for requests, or gets on with one.
fn gets_on(answer: &Answer) -> bool {
    match &answer.outcome {
        Ok(Outcome::Pong(pong)) => Duration::from_millis(pong.silent_millis) < LONGEST_CHUNK,
        Ok(_) | Err(_) => false,
    }
}

/// Whether the launch thread waits for requests.
pub(super) fn rests(answer: &Answer) -> bool {
    matches!(&answer.outcome, Ok(Outcome::Pong(pong)) if pong.silent_millis == 0)
}

/// Whether it is an answer to the question at all: somebody lives there.
pub(super) fn is_pong(answer: &Answer) -> bool {
    matches!(&answer.outcome, Ok(Outcome::Pong(_)))
}
