//! A launch whose guest runs, or ran.

use super::{
    AbortCause, AbortReason, Aborted, Finished, Launch, Open, Reason, Refusal, Snapshot, State,
    books::Books, judge::refused,
};
use crate::{
    console::Phase,
    guest::{Guest, GuestIo, GuestStop},
    settings::FinishArgs,
};

/// A launch whose guest runs.
#[derive(Debug)]
pub struct Running {
    pub(super) books: Books,
    /// As [`Finished`] has it.
    pub(super) args: FinishArgs,
    guest: Box<dyn Guest>,
    /// It ends in ABORTED, for this reason.
    abort: Option<AbortReason>,
}

/// A launch whose guest has stopped.
#[derive(Debug)]
pub struct Stopped {
    pub(super) books: Books,
    /// As [`Finished`] has it.
    pub(super) args: FinishArgs,
    stop: GuestStop,
}

impl Launch {
    /// Runs the guest: the platform becomes it. `io` is how it speaks to the outside, and tells when it has stopped.
    ///
    /// # Errors
    /// Only in FINISHED, and only where the platform runs guests; nothing changed then. A refusal by the kernel ends the launch.
    pub fn start(self, io: GuestIo) -> (Self, Result<(), Refusal>) {
        let way_out = match &self {
            Self::Finished(Finished { open, .. }) if !open.platform.runs_guests() => {
                let refusal = open.runs_no_guests();
                return (self, Err(refusal));
            }
            Self::Finished(_) => "",
            Self::Open(_) => "finish it first",
            Self::Running(_) | Self::Stopped(_) => {
                "a guest is started once; create a new launch to run it again"
            }
            Self::Aborted(_) => "it is over; create a new launch",
        };
        match self {
            Self::Finished(finished) => finished.start(io),
            Self::Open(_) | Self::Running(_) | Self::Stopped(_) | Self::Aborted(_) => {
                let refusal = self.wrong_state("start", way_out);
                (self, Err(refusal))
            }
        }
    }

    /// Asks the guest to stop. Whether it has is told by [`Self::stopped`]; `Ok(true)` says that this came already.
    ///
    /// # Errors
    /// In a state in which no guest runs or ran.
    pub fn stop(&self) -> Result<bool, Refusal> {
        match self {
            Self::Running(running) => {
                running.guest.stop();
                Ok(false)
            }
            Self::Stopped(_) => Ok(true),
            Self::Open(_) | Self::Finished(_) | Self::Aborted(_) => {
                Err(self.wrong_state("stop", "its guest does not run"))
            }
        }
    }

    /// Whether there is, was, or can be a guest that writes to a console, which is in this phase.
    ///
    /// # Errors
    /// `UnsupportedOperation` where the platform runs no guests, `WrongState` for a launch that was aborted before.
    pub(crate) fn can_speak(&self, console: Phase) -> Result<(), Refusal> {
        match self {
            Self::Open(open) | Self::Finished(Finished { open, .. })
                if !open.platform.runs_guests() =>
            {
                Err(open.runs_no_guests())
            }
            Self::Aborted(_) if console == Phase::Unused => {
                Err(self.wrong_state("attach to the console", "its guest never ran"))
            }
            Self::Open(_)
            | Self::Finished(_)
            | Self::Running(_)
            | Self::Stopped(_)
            | Self::Aborted(_) => Ok(()),
        }
    }

    /// The guest has stopped, and the VM's memory is gone.
    #[must_use]
    pub fn stopped(self, stop: GuestStop) -> Self {
        match self {
            Self::Running(running) => running.stopped(stop),
            Self::Open(_) | Self::Finished(_) | Self::Stopped(_) | Self::Aborted(_) => self,
        }
    }
}

impl Open {
    fn runs_no_guests(&self) -> Refusal {
        let message = format!(
            "this launch host runs no guests on platform {}; GetNodeInfo lists the platforms that it does",
            self.books.kind
        );
        Refusal::new(Reason::UnsupportedOperation, message)
    }
}

impl Finished {
    fn start(self, io: GuestIo) -> (Launch, Result<(), Refusal>) {
        let Self {
            open: Open { platform, books },
            args,
        } = self;
        match platform.start(io) {
            Ok(guest) => (
                Launch::Running(Running {
                    books,
                    args,
                    guest,
                    abort: None,
                }),
                Ok(()),
            ),
            Err(stop) => {
                let refusal = refused(stop);
                let cause = AbortCause {
                    reason: AbortReason::PlatformRefused,
                    message: refusal.message.clone(),
                };
                (Launch::Aborted(Aborted::close(books, cause)), Err(refusal))
            }
        }
    }
}

impl Running {
    /// Asks the guest to stop; the first reason stays.
    pub(super) fn abort(mut self, reason: AbortReason) -> Self {
        self.guest.stop();
        self.abort = self.abort.or(Some(reason));
        self
    }

    fn stopped(self, stop: GuestStop) -> Launch {
        let Self {
            books,
            args,
            abort,
            guest: _,
        } = self;
        match abort {
            Some(reason) => Launch::Aborted(Aborted::close(books, AbortCause::told(reason))),
            None => Launch::Stopped(Stopped { books, args, stop }),
        }
    }
}

impl Stopped {
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            stop: Some(self.stop.clone()),
            ..self.books.snapshot(State::Stopped)
        }
    }
}
