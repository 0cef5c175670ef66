//! The firmware that all simulated launches of a machine share: one command at a time, each page takes its time.
//!
//! Its state is a time line in a file: the moment (`CLOCK_MONOTONIC`) until which it is busy. A command reserves its span under a file
//! lock and then sleeps until its end; spans never overlap, and a late waker does not push the line, so that N pages take N times the
//! page's time and not more (a sleep for each page drifts).
//!
//! **Invariant:** the lock is held for a read and a write, never for a sleep.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    time::Duration,
};

use nix::{
    fcntl::{Flock, FlockArg},
    time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep},
};

/// The shared serial resource.
#[derive(Debug)]
pub struct Firmware {
    line: Option<File>,
}

/// A command that firmware has taken up: when it will be done, if it takes time at all.
#[derive(Debug)]
#[must_use = "it is not done before it was waited for"]
pub struct Command(Option<Duration>);

impl Firmware {
    /// The firmware whose time line is in `path`; made if it is not there.
    ///
    /// # Errors
    /// What opening said.
    pub fn open(path: &Path) -> io::Result<Self> {
        let line = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        Ok(Self { line: Some(line) })
    }

    /// A firmware of its own, that takes no time and shares nothing.
    #[must_use]
    pub fn instant() -> Self {
        Self { line: None }
    }

    /// Begins one command that takes `span`, behind those already reserved. What the simulator itself needs for it is done meanwhile, as if it took no time.
    ///
    /// # Errors
    /// What the file or the clock said.
    pub fn begin(&self, span: Duration) -> io::Result<Command> {
        let line = self.line.as_ref().filter(|_| !span.is_zero());
        let end = line.map(|line| Self::reserve(line.try_clone()?, span));
        end.transpose().map(Command)
    }

    fn reserve(line: File, span: Duration) -> io::Result<Duration> {
        let line = Flock::lock(line, FlockArg::LockExclusive)
            .map_err(|(_, errno)| io::Error::from(errno))?;
        let mut busy_until = [0; 8];
        // A new file is empty: the firmware has never been busy.
        if line.read_at(&mut busy_until, 0)? < busy_until.len() {
            busy_until = [0; 8];
        }
        let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
        let end = now.max(Duration::from_nanos(u64::from_le_bytes(busy_until))) + span;
        line.write_all_at(
            &u64::try_from(end.as_nanos())
                .unwrap_or(u64::MAX)
                .to_le_bytes(),
            0,
        )?;
        Ok(end)
    }
}

impl Command {
    /// Waits until it is done.
    ///
    /// # Errors
    /// What the clock said.
    pub fn wait(self) -> io::Result<()> {
        let Some(end) = self.0 else {
            return Ok(());
        };
        loop {
            match clock_nanosleep(
                ClockId::CLOCK_MONOTONIC,
                ClockNanosleepFlags::TIMER_ABSTIME,
                &end.into(),
            ) {
                Err(nix::errno::Errno::EINTR) => {}
                done => return done.map(drop).map_err(io::Error::from),
            }
        }
    }
}
