//! Requests about the guest: running it, stopping it, listening to it.

use std::{sync::Arc, time::Duration};

use super::{
    connection::{Connection, abort_reason},
    intake::Job,
    listener,
    worker::{Answer, Worker, no_launch},
};
use crate::{
    console::Cursor,
    guest::{GuestIo, GuestStop},
    launch::{Launch, Reason, Refusal},
    protocol::{Abort, Done, Outcome},
};

/// How long the end of a guest waits for daemons to read what it wrote. One that reads needs milliseconds.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Requests that may wait for the guest to stop. A daemon needs one.
const MAX_WAITING: usize = 64;

impl Worker {
    /// Runs the guest.
    pub(super) fn start(&mut self, connection: &Connection) -> Result<Outcome, Refusal> {
        let launch = self.launch.take().ok_or_else(no_launch)?;
        let console = Arc::clone(&self.console);
        let jobs = connection.jobs();
        let ended = move |stop: GuestStop| {
            console.close(LAST_WORDS);
            // The launch thread may be gone already; then the process is on its way out.
            drop(jobs.send(Job::Stopped(stop)));
        };
        let (launch, result) = launch.start(GuestIo {
            console: Arc::clone(&self.console),
            ended: Box::new(ended),
        });
        self.launch = Some(launch);
        result?;
        self.console.open();
        Ok(Outcome::Done(Done::default()))
    }

    /// Stops the guest; answered when it has.
    pub(super) fn stop_guest(&mut self) -> Result<Answer, Refusal> {
        if self.launch()?.stop()? {
            return Ok(Answer::Now(Outcome::Done(Done::default())));
        }
        self.when_stopped()
    }

    /// Ends the launch; if its guest runs, that has to stop first.
    pub(super) fn abort(&mut self, abort: &Abort) -> Result<Answer, Refusal> {
        let reason = abort_reason(abort);
        let launch = self.launch.take().ok_or_else(no_launch)?.abort(reason);
        let runs = matches!(launch, Launch::Running(_));
        self.launch = Some(launch);
        if runs {
            return self.when_stopped();
        }
        Ok(Answer::Now(Outcome::Done(Done::default())))
    }

    fn when_stopped(&self) -> Result<Answer, Refusal> {
        if self.waiting.len() < MAX_WAITING {
            return Ok(Answer::WhenStopped);
        }
        let text = "too many requests wait for this guest to stop, which it was asked to";
        Err(Refusal::new(Reason::QueueFull, text))
    }

    /// Passes on what the guest writes, from `offset` on; also before it runs, so that nothing is missed. Once more changes nothing.
    pub(super) fn listen(&self, offset: u64, connection: &Connection) -> Result<Outcome, Refusal> {
        self.launch()?.can_speak(self.console.phase())?;
        if !self.console.join() {
            // No more will come, so this thread can pass on the little that is kept.
            let mut cursor = Cursor::new(offset);
            while let Some(message) = self.console.next(&mut cursor) {
                connection.console(message);
            }
        } else if connection.begin_listening() {
            listener::start(&self.console, connection, offset).map_err(|error| {
                let text = format!("no thread for a listener to the console: {error}");
                Refusal::new(Reason::NoCapacity, text)
            })?;
        } else {
            self.console.leave();
        }
        Ok(Outcome::Done(Done::default()))
    }
}
