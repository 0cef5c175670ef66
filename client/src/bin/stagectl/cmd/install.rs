//! What people at a terminal see of an installation, and what they are told where it fails.
//!
//! **Invariant:** one bar at a time.

use std::cell::RefCell;

use stagepages_client::{
    images::PushError,
    install::{Audience, InstallError, Work},
    stage::Progress,
};

use super::launch::stage::progress::{Bar, BytesBar};
use crate::{failure::Failure, output::Output};

/// Bars on standard error.
pub(crate) struct Bars {
    output: Output,
    shown: RefCell<Shown>,
}

enum Shown {
    Nothing,
    Bytes(BytesBar),
    Pages(Bar),
}

impl Bars {
    /// None is shown yet.
    pub(crate) fn new(output: Output) -> Self {
        Self {
            output,
            shown: RefCell::new(Shown::Nothing),
        }
    }
}

impl Audience for Bars {
    fn notice(&self, text: &str) {
        self.output.notice(text);
    }

    fn begins(&self, work: Work, all: u64) {
        let shown = match work {
            Work::Hashing => Shown::Bytes(BytesBar::new(self.output, "hashing", all)),
            Work::Pushing => Shown::Bytes(BytesBar::new(self.output, "pushing", all)),
            Work::Staging => Shown::Pages(Bar::new(self.output, all)),
        };
        self.shown.replace(shown);
    }

    fn bytes(&self, done: u64) {
        if let Shown::Bytes(bar) = &*self.shown.borrow() {
            bar.show(done);
        }
    }

    fn pages(&self, done: Progress) {
        if let Shown::Pages(bar) = &*self.shown.borrow() {
            bar.show(done);
        }
    }

    fn ends(&self) {
        match self.shown.replace(Shown::Nothing) {
            Shown::Nothing => {}
            Shown::Bytes(bar) => bar.close(),
            Shown::Pages(bar) => bar.close(),
        }
    }
}

impl From<InstallError> for Failure {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Refused(error) => error.into(),
            InstallError::Changed(error) => unreadable(&error),
            InstallError::Unreadable(_) => Self::new(
                error.to_string(),
                "leave the files alone while they are staged, and repeat",
            ),
            InstallError::Extent(_) => Self::new(error.to_string(), "see `stagectl plan`"),
        }
    }
}

/// A failure of a source that could not be read twice.
pub(crate) fn unreadable(error: &PushError) -> Failure {
    Failure::new(
        error.to_string(),
        "leave the files alone while they are pushed, and repeat",
    )
}
