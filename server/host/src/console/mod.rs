//! The console of a guest: what it wrote, for all who listen, and what it is to read.
//!
//! ```text
//!  vCPU threads ──write──▶ ┌────────────────────┐ ──read──▶ a thread for each listener, each from its own offset
//!               ◀──take─── │ Console (one lock) │ ◀──offer── connection threads
//!                          └────────────────────┘
//! ```
//!
//! A listener that is behind skips to what is still kept; the offset shows it. Nothing is sent under the lock.
//!
//! **Invariant:** the guest never waits for a listener, and no listener for another; memory is bounded whatever the guest writes.

mod input;
mod ring;
#[cfg(test)]
mod tests;

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    guest::ConsolePort,
    protocol::{self, MAX_CONSOLE_OUTPUT},
};
use input::Input;
pub(crate) use input::Overdrawn;
use ring::Ring;

/// How long a listener waits for more before it passes on a little: less than a person sees, and enough to make one message of many writes.
const GATHER: Duration = Duration::from_millis(5);

/// The console of one guest.
#[derive(Debug, Default)]
pub struct Console {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    ring: Ring,
    input: Input,
    /// Listeners that have not passed on everything.
    listeners: usize,
    /// Of these, those that have nothing to pass on, and are woken by the next byte. The others look again by themselves, so that a guest
    /// that writes byte by byte wakes nobody with each.
    idle: usize,
    /// Nobody waits for them any more.
    cut: bool,
}

/// Where a guest is, as far as its console is concerned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It never ran.
    #[default]
    Unused,
    /// It may write.
    Open,
    /// It has written everything.
    Closed,
}

/// What one listener knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor {
    offset: u64,
    input_taken: u64,
    /// It was told where it is.
    begun: bool,
}

impl Console {
    /// The guest wrote `bytes` to `port`.
    pub fn write(&self, port: ConsolePort, bytes: &[u8]) {
        let mut state = self.state();
        state.ring.write(port, bytes);
        if state.idle > 0 {
            self.changed.notify_all();
        }
    }

    /// Lends the guest's serial port the next bytes that were sent to it, if there are any; `take` says how many of them it took.
    pub fn take_input(&self, take: impl FnOnce(&[u8]) -> usize) {
        if self.state().input.take(take) {
            self.changed.notify_all();
        }
    }

    /// The guest runs.
    pub(crate) fn open(&self) {
        let mut state = self.state();
        // It may have stopped already.
        if state.phase == Phase::Unused {
            state.phase = Phase::Open;
        }
    }

    /// The guest writes nothing more. Waits until all listeners have passed on everything, for at most `patience`; those that have not
    /// pass on nothing more then.
    pub(crate) fn close(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut state = self.state();
        state.phase = Phase::Closed;
        self.changed.notify_all();
        while state.listeners > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::warn!(
                    listeners = state.listeners,
                    "the last output of the guest is not read"
                );
                state.cut = true;
                break;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Input from a connection. Without a guest that could read it, it is dropped.
    pub(crate) fn offer(&self, connection: u64, bytes: &[u8]) -> Result<(), Overdrawn> {
        let mut state = self.state();
        match state.phase {
            Phase::Open => state.input.offer(connection, bytes),
            Phase::Unused | Phase::Closed => {
                state.input.drop_at_once(bytes.len());
                self.changed.notify_all();
                Ok(())
            }
        }
    }

    /// A connection is gone, and what it sent with it.
    pub(crate) fn forget(&self, connection: u64) {
        self.state().input.retain(|known| known != connection);
        self.changed.notify_all();
    }

    /// A newer daemon is there: what others sent is dropped.
    pub(crate) fn obey_only(&self, connection: u64) {
        self.state().input.retain(|known| known == connection);
        self.changed.notify_all();
    }

    /// Whether the guest runs, or ran.
    pub(crate) fn phase(&self) -> Phase {
        self.state().phase
    }

    /// A listener comes. Unless the console is closed, one more is waited for at the end, and it must [leave](Self::leave); `false` if it is.
    pub(crate) fn join(&self) -> bool {
        let mut state = self.state();
        let open = state.phase != Phase::Closed;
        state.listeners += usize::from(open);
        open
    }

    /// A listener has passed on everything, or gives up.
    pub(crate) fn leave(&self) {
        self.state().listeners -= 1;
        self.changed.notify_all();
    }

    /// Waits until there is something to pass on. `false` if there will be nothing more, or `gone` says that nobody wants it.
    pub(crate) fn wait(&self, cursor: &Cursor, gone: impl Fn() -> bool) -> bool {
        let mut gathering: Option<Instant> = None;
        let mut state = self.state();
        loop {
            if state.cut || gone() {
                return false;
            }
            let behind = state.ring.end().saturating_sub(cursor.offset);
            let news = behind > 0 || state.input.taken() != cursor.input_taken;
            if state.phase == Phase::Closed {
                return news || !cursor.begun;
            }
            if !cursor.begun || behind >= MAX_CONSOLE_OUTPUT as u64 {
                return true;
            }
            if !news {
                state.idle += 1;
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                continue;
            }
            let until = *gathering.get_or_insert_with(|| Instant::now() + GATHER);
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The next message for a listener, who knows it then; `None` if it is up to date.
    pub(crate) fn next(&self, cursor: &mut Cursor) -> Option<protocol::Console> {
        let state = self.state();
        let (offset, runs) = state.ring.read(cursor.offset);
        let input_taken = state.input.taken();
        if cursor.begun && runs.is_empty() && input_taken == cursor.input_taken {
            return None;
        }
        let bytes: usize = runs.iter().map(|run| run.data.len()).sum();
        *cursor = Cursor {
            offset: offset + bytes as u64,
            input_taken,
            begun: true,
        };
        Some(protocol::Console {
            offset,
            runs,
            input_taken,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cursor {
    /// Of one who has the first `offset` bytes already.
    pub(crate) fn new(offset: u64) -> Self {
        Self {
            offset,
            input_taken: 0,
            begun: false,
        }
    }
}
