//! The guest of a launch: started, stopped and listened to in its host.
//!
//! **Invariant:** a host that speaks a version without guests is never sent a command about one: it would hang up.

use std::time::SystemTime;

use stagepages_host::{
    guest::{GuestStop, StopReason},
    launch::State,
    protocol::{Command, ConsoleInput, ListenConsole, Start, StopGuest},
};

use super::{Answer, Ending, Launch, LinkLost, Status, launch::PATIENCE, versions};

impl Launch {
    /// Asks the host to tell what the guest writes, from where the console is. To be called when the guest was started, and again on every new
    /// connection to its host; once more does no harm. Does not wait for the answer, but the console's end does.
    pub async fn listen_console(&self) {
        if !versions::has_guests(self.link.version()) {
            return;
        }
        let owed = self.console.owe();
        let offset = self.console.offset();
        let listen = Command::ListenConsole(ListenConsole { offset });
        match self.link.post(listen, &[], None).await {
            Ok(asked) => drop(tokio::spawn(async move {
                // What the guest has written by then comes before the answer, which says nothing itself.
                drop(asked.answer().await);
                drop(owed);
            })),
            Err(error) => tracing::debug!(launch = self.id, %error, "listening to a guest"),
        }
    }

    /// Starts the guest, and listens to it.
    ///
    /// # Errors
    /// The host is gone, and may have started it.
    pub async fn start(&self) -> Result<Answer, LinkLost> {
        // A guest may be over before the host is asked what it wrote.
        let _owed = self.console.owe();
        let started = self.link.post(Command::Start(Start {}), &[], None).await?;
        self.listen_console().await;
        let answer = started.answer().await?;
        if answer.outcome.is_ok() {
            self.keep().await;
        }
        Ok(answer)
    }

    /// Stops the guest, and waits a bounded time for its memory to be free. A host that does not react is killed.
    ///
    /// # Errors
    /// The host's own answer where it refused, and `None` where it is gone without having told that the guest has stopped.
    pub async fn stop(&self) -> Result<(), Option<Answer>> {
        if self.status().ending.is_none() {
            let stop = self.link.call(Command::Stop(StopGuest {}), &[], None);
            match tokio::time::timeout(PATIENCE, stop).await {
                Ok(Ok(answer)) if answer.outcome.is_err() => return Err(Some(answer)),
                Ok(Ok(_)) => {}
                Ok(Err(LinkLost)) => return Err(None),
                Err(_elapsed) => {
                    tracing::error!(
                        launch = self.id,
                        pid = self.child.as_ref().map(|child| child.pid),
                        "the launch host does not stop its guest and is killed"
                    );
                    self.status.send_modify(Status::stop_forced);
                    // A disk that hangs does not hold up the end.
                    drop(tokio::time::timeout(PATIENCE, self.keep()).await);
                    self.kill().await;
                }
            }
        }
        self.let_go().await;
        Ok(())
    }

    /// Waits until the host of a launch that is over is gone, and kills it if it does not go by itself.
    async fn let_go(&self) {
        if tokio::time::timeout(PATIENCE, self.released())
            .await
            .is_ok()
            || self.keeps_its_ledger()
        {
            return;
        }
        tracing::error!(
            launch = self.id,
            pid = self.child.as_ref().map(|child| child.pid),
            "the launch host of a stopped guest does not end and is killed"
        );
        self.kill().await;
        if tokio::time::timeout(PATIENCE, self.released())
            .await
            .is_err()
        {
            tracing::error!(
                launch = self.id,
                pid = self.child.as_ref().map(|child| child.pid),
                "the launch host is killed but not gone; its memory is not free yet"
            );
        }
    }

    /// Sends `data` to the guest's serial port, as it takes it. What a guest that does not run is sent is dropped.
    pub async fn write_console(&self, mut data: &[u8]) {
        /// Bytes of one turn: small, so that several who write at once are served alike.
        const TURN: usize = 256;
        while !data.is_empty() && self.status().snapshot.state == State::Running {
            let granted = self.console.credit(data.len().min(TURN)).await;
            let (now, later) = data.split_at(granted.bytes());
            let input = ConsoleInput { data: now.to_vec() };
            self.link.tell(Command::ConsoleInput(input)).await;
            granted.sent();
            data = later;
        }
    }
}

impl Status {
    /// Whether the guest runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.ending.is_none() && self.snapshot.state == State::Running
    }

    /// When the guest was started, for a launch that was in `state`.
    #[must_use]
    pub fn start_time(&self, state: State) -> Option<SystemTime> {
        let has_run = matches!(state, State::Running | State::Stopped | State::Aborted);
        self.started.filter(|_| has_run)
    }

    /// When it was over, for a launch that was in `state`.
    #[must_use]
    pub fn stop_time(&self, state: State) -> Option<SystemTime> {
        let over = matches!(state, State::Stopped | State::Aborted);
        self.over.filter(|_| over)
    }

    /// Notes when the guest started, from what was told last.
    pub(super) fn note_start(&mut self) {
        if matches!(self.snapshot.state, State::Running | State::Stopped) {
            self.started.get_or_insert_with(SystemTime::now);
        }
    }

    /// Takes that the host is to be killed because it does not stop its guest.
    pub(super) fn stop_forced(&mut self) {
        if self.ending.is_some() {
            return;
        }
        self.snapshot.stop = Some(GuestStop {
            reason: StopReason::Requested,
            message: format!(
                "stopped on request; the launch host did not react within {} s and was killed",
                PATIENCE.as_secs()
            ),
            vcpu: None,
            exit_code: None,
            gpa: None,
        });
        self.snapshot.state = State::Stopped;
        self.end(Ending::Killed);
    }
}

#[cfg(test)]
mod tests {
    use stagepages_host::launch::Snapshot;

    use super::*;

    fn told(status: &mut Status, state: State) {
        let snapshot = Snapshot {
            state,
            installed_pages: 1,
            ..status.snapshot.clone()
        };
        assert!(status.told(snapshot));
    }

    fn states(status: &Status) -> Vec<State> {
        status.history.iter().map(|passed| passed.state).collect()
    }

    #[test]
    fn every_state_is_passed_in_order_however_much_one_message_tells() {
        use State::{Aborted, Created, Finished, Running, Staging, Stopped};
        for (messages, passed) in [
            (
                &[Staging, Finished, Running, Stopped][..],
                &[Created, Staging, Finished, Running, Stopped][..],
            ),
            (
                &[Finished, Stopped],
                &[Created, Staging, Finished, Running, Stopped],
            ),
            (&[Stopped], &[Created, Staging, Finished, Running, Stopped]),
            (&[Running], &[Created, Staging, Finished, Running]),
            (
                &[Finished, Running, Aborted],
                &[Created, Staging, Finished, Running, Aborted],
            ),
            (&[Aborted], &[Created, Staging, Aborted]),
        ] {
            let mut status = Status::fresh();
            for message in messages {
                told(&mut status, *message);
            }
            assert_eq!(states(&status), passed, "{messages:?}");
        }
    }

    #[test]
    fn times_belong_to_the_states_that_have_them() {
        let mut status = Status::fresh();
        told(&mut status, State::Finished);
        assert_eq!((status.started, status.over), (None, None));
        told(&mut status, State::Running);
        assert!(status.runs() && status.started.is_some() && status.over.is_none());
        told(&mut status, State::Stopped);
        assert!(!status.runs() && status.over.is_some());
        // As a watcher is told of the past.
        assert_eq!(status.start_time(State::Finished), None);
        assert_eq!(status.stop_time(State::Running), None);
        assert_eq!(status.start_time(State::Stopped), status.started);
    }

    #[test]
    fn a_host_that_had_to_be_killed_stops_as_requested_and_its_own_late_word_counts() {
        let mut status = Status::fresh();
        told(&mut status, State::Running);
        status.stop_forced();
        let stop = status.snapshot.stop.clone().unwrap();
        assert_eq!(
            (status.snapshot.state, stop.reason),
            (State::Stopped, StopReason::Requested)
        );
        assert!(stop.message.contains("was killed"), "{}", stop.message);
        let own = GuestStop {
            reason: StopReason::Halted,
            ..stop
        };
        let mut late = status.snapshot.clone();
        late.stop = Some(own.clone());
        assert!(status.told(late.clone()));
        assert_eq!(status.snapshot.stop, Some(own));
        late.state = State::Aborted;
        assert!(!status.told(late), "what is over stays as it is");
    }
}
