//! How a launch is, as its host told, and how it ended.
//!
//! **Invariant:** a launch that is over stays over, and its last snapshot stays what its host told last.

use std::time::SystemTime;

use stagepages_host::{
    launch::{AbortCause, AbortReason, Snapshot, State},
    serve::Ended,
};
use stagepages_proto::v1;

use super::{Record, record::Finish};
use crate::supervisor::{ExitStatus, HostExit};

/// How a launch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The host ended it, and told why.
    Told,
    /// The host died without a word.
    Died(HostExit),
    /// The host did not react to AbortLaunch and was killed.
    Killed,
}

/// How a launch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// As its host last told. Kept when the host is gone.
    pub snapshot: Snapshot,
    /// Set once it is over.
    pub ending: Option<Ending>,
    /// When it left CREATED or STAGING.
    pub ended: Option<SystemTime>,
    /// When its guest was started.
    pub started: Option<SystemTime>,
    /// When it was over.
    pub over: Option<SystemTime>,
    /// The host is reaped, and its memory free.
    pub released: bool,
    /// Since when the host gives no sign of life, if it does not.
    pub unresponsive: Option<SystemTime>,
    /// The launch as it was when it came into each of its states, in order. At most one for each state.
    pub history: Vec<Snapshot>,
}

impl Status {
    /// A launch whose host has said nothing yet.
    #[must_use]
    pub fn fresh() -> Self {
        let snapshot = Snapshot {
            state: State::Created,
            installed_pages: 0,
            digest: None,
            measured_pages: 0,
            abort: None,
            stop: None,
            next_sequence: 0,
        };
        Self {
            history: vec![snapshot.clone()],
            snapshot,
            ending: None,
            ended: None,
            started: None,
            over: None,
            released: false,
            unresponsive: None,
        }
    }

    /// Takes that a host of an earlier daemon is this one's now. What it told in greeting is the present, and no news.
    pub fn adopted(&mut self, ended: Option<SystemTime>, started: Option<SystemTime>) {
        self.history = vec![self.snapshot.clone()];
        self.ended = ended.or(self.ended);
        self.started = started.or(self.started);
    }

    /// Takes what the host tells, and says whether it is news. A launch that is over stays so.
    pub fn told(&mut self, snapshot: Snapshot) -> bool {
        // A host that was given up may still tell how it ended before it dies of that.
        let late = self.ending == Some(Ending::Killed) && snapshot.state == self.snapshot.state;
        if (self.ending.is_some() && !late) || self.snapshot == snapshot {
            return false;
        }
        self.snapshot = snapshot;
        self.note_start();
        match self.snapshot.state {
            State::Created | State::Staging => self.passed(),
            State::Finished | State::Running => {
                self.ended = self.ended.or_else(|| Some(SystemTime::now()));
                self.passed();
            }
            State::Aborted | State::Stopped => self.end(Ending::Told),
        }
        true
    }

    /// Takes that the host is to be killed because it does not react to an end for this reason.
    pub fn killed(&mut self, reason: AbortReason) {
        if self.ending.is_none() {
            let AbortCause { reason, message } = AbortCause::told(reason);
            self.snapshot.abort = Some(AbortCause {
                reason,
                message: format!("{message}; the launch host did not react and was killed"),
            });
            self.snapshot.state = State::Aborted;
            self.end(Ending::Killed);
        }
    }

    /// Takes that it is over, in the state that it has now.
    pub(super) fn end(&mut self, ending: Ending) {
        self.end_at(ending, SystemTime::now());
    }

    fn end_at(&mut self, ending: Ending, now: SystemTime) {
        self.ending = Some(ending);
        self.ended = self.ended.or(Some(now));
        self.over = self.over.or(Some(now));
        self.passed();
    }

    /// Keeps the launch as it is when its state is a new one.
    fn passed(&mut self) {
        // Several steps may come in one message: the first page and the end, a guest's start and its stop.
        for between in [State::Staging, State::Finished, State::Running] {
            if self.skipped(between) {
                self.history.push(Snapshot {
                    state: between,
                    abort: None,
                    stop: None,
                    ..self.snapshot.clone()
                });
            }
        }
        if self
            .history
            .last()
            .is_none_or(|last| last.state != self.snapshot.state)
        {
            self.history.push(self.snapshot.clone());
        }
    }

    /// Whether it must have passed through `between` since its last known state.
    fn skipped(&self, between: State) -> bool {
        let Some(last) = self.history.last().map(|last| last.state) else {
            return false;
        };
        let now = self.snapshot.state;
        let ran = matches!(now, State::Running | State::Stopped);
        match between {
            State::Staging => {
                last == State::Created && now != State::Staging && self.snapshot.installed_pages > 0
            }
            State::Finished => ran && matches!(last, State::Created | State::Staging),
            State::Running => now == State::Stopped && last == State::Finished,
            State::Created | State::Stopped | State::Aborted => false,
        }
    }

    /// Takes that the host is gone, after everything it told, and since when that is known.
    pub fn gone(&mut self, exit: HostExit, known: SystemTime) {
        self.released = true;
        self.unresponsive = None;
        if self.ending.is_none() {
            let ending = match exit.code().and_then(Ended::from_exit_code) {
                // It told so the only way that was left to it.
                Some(Ended::LeaseExpired) => {
                    let cause = AbortCause::told(AbortReason::LeaseExpired);
                    self.snapshot.abort = Some(cause);
                    Ending::Told
                }
                Some(Ended::Over | Ended::Unwanted) | None => Ending::Died(exit),
            };
            self.snapshot.state = State::Aborted;
            self.end_at(ending, known);
        }
    }

    /// Takes that the host went while no daemon was there. What it told last is known as far as it is on record.
    pub fn lost(&mut self, record: &Record, exit: Option<HostExit>) {
        if let Some(answer) = record.finish.as_ref().and_then(Finish::told) {
            self.snapshot.installed_pages = answer.installed_pages;
            self.snapshot.measured_pages = answer.measured_pages;
            self.snapshot.digest = <[u8; 48]>::try_from(&*answer.launch_digest).ok();
            self.snapshot.next_sequence = answer.next_sequence;
        }
        let unknown = HostExit {
            pid: 0,
            status: ExitStatus::Unknown,
        };
        self.gone(exit.unwrap_or(unknown), SystemTime::now());
        self.history = vec![self.snapshot.clone()];
    }
}

pub(super) fn abort_cause(status: &Status) -> v1::AbortCause {
    let told = |reason: v1::AbortReason, message: String| v1::AbortCause {
        reason: reason.into(),
        message,
        signal: 0,
        exit_code: 0,
    };
    match (&status.ending, &status.snapshot.abort) {
        (Some(Ending::Died(exit)), _) => v1::AbortCause {
            signal: exit.signal().unwrap_or(0),
            exit_code: exit.code().unwrap_or(0),
            ..told(
                v1::AbortReason::HostDied,
                format!("the launch host died: {exit}; every page of the launch is gone"),
            )
        },
        (Some(Ending::Told | Ending::Killed) | None, Some(cause)) => {
            let reason = match cause.reason {
                AbortReason::Requested => v1::AbortReason::Requested,
                AbortReason::LeaseExpired => v1::AbortReason::LeaseExpired,
                AbortReason::PlatformRefused => v1::AbortReason::PlatformRefused,
            };
            told(reason, cause.message.clone())
        }
        (Some(Ending::Told | Ending::Killed) | None, None) => {
            told(v1::AbortReason::Unspecified, String::new())
        }
    }
}
