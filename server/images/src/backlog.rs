//! What is written to an upload and not yet hashed.
//!
//! ```text
//!  writer ── buffers, zeros ──▶ parts, in their order ──▶ thread that hashes
//!     ▲                              │
//!     └──── waits while they hold too much
//! ```
//!
//! Buffers are hashed where they are, and let go. Where much is to be hashed first that holds none, which is what an earlier writer left or a long run of zeros,
//! the writer would wait for as long as that takes: then its buffers are let go at once, and their bytes are read back from the file.
//!
//! **Invariant:** holds buffers of at most [`HELD`] bytes, or a single one, in a bounded number of parts; a writer waits for the hashing of at most twice that, and
//! never for a thread that is gone.

use std::{
    collections::VecDeque,
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

/// Bytes of buffers that are held.
pub(crate) const HELD: usize = 4 << 20;

/// What a buffer counts for at least: a small one may be part of a larger one, and to keep its place costs something, too.
const LEAST: usize = 64 << 10;

/// Parts beyond which zeros are read back from the file with what lies there beside them, as one part.
const PARTS: usize = 1024;

/// Bytes for which it is worth to wake the thread, and most bytes that it is told to read at once: little enough to stay in a core's own cache.
pub(crate) const STEP: usize = 256 << 10;

/// The next bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// They are here.
    Held(Bytes),
    /// They are zeros, so many.
    Zeros(u64),
    /// They are in the file, so many.
    Stored(u64),
}

/// The way from a writer to a thread.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    parts: VecDeque<Part>,
    /// What the buffers count for, the one included that is being hashed.
    held: usize,
    /// Of these, what is being hashed.
    in_hand: usize,
    /// Bytes in `parts` that no buffer holds.
    unheld: u64,
    end: End,
    /// Whether the thread waits for parts.
    idle: bool,
    /// Whether the writer waits for room.
    full: bool,
}

/// What comes behind the last part.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// More may come.
    #[default]
    Open,
    /// Nothing: that is all.
    Whole,
    /// It does not matter: nobody wants the hashes any more, or nobody makes them.
    Stop,
}

impl Backlog {
    /// That `bytes` were written. Waits while too much is held.
    pub(crate) fn bytes(&self, bytes: Bytes) {
        let cost = bytes.len().max(LEAST);
        let mut state = self.lock();
        if state.unheld > HELD as u64 {
            self.put(state, Part::Stored(bytes.len() as u64));
            return;
        }
        while state.held > 0 && state.held + cost > HELD && state.end == End::Open {
            state.full = true;
            // Not only with a step's worth: this may be all that comes.
            self.changed.notify_one();
            state = self.wait(state);
        }
        state.full = false;
        state.held += cost;
        self.put(state, Part::Held(bytes));
    }

    /// That there are `length` zeros, or as many bytes in the file.
    pub(crate) fn unheld(&self, part: Part) {
        self.put(self.lock(), part);
    }

    /// Says what comes behind the last part.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.lock();
        state.end = end;
        if end == End::Stop {
            state.parts.clear();
        }
        drop(state);
        self.changed.notify_all();
    }

    /// The next part, once the last one is hashed. `None` behind the last one; `Err` if nobody wants it.
    pub(crate) fn next(&self) -> Result<Option<Part>, Unwanted> {
        let mut state = self.lock();
        state.held -= mem::take(&mut state.in_hand);
        if state.full {
            self.changed.notify_one();
        }
        while !state.is_due() {
            state.idle = true;
            state = self.wait(state);
            state.idle = false;
        }
        match state.end {
            End::Stop => Err(Unwanted),
            End::Open | End::Whole => Ok(state.take()),
        }
    }

    fn put(&self, mut state: MutexGuard<'_, State>, part: Part) {
        state.put(part);
        let wake = state.idle && state.is_due();
        drop(state);
        if wake {
            self.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        (self.changed.wait(state)).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody wants what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unwanted;

impl State {
    /// Whether the thread has something to do.
    fn is_due(&self) -> bool {
        let waits = self.held as u64 + self.unheld;
        self.end != End::Open || waits >= STEP as u64 || self.full && !self.parts.is_empty()
    }

    /// Puts a part behind the last one; what no buffer holds is one part with its like.
    fn put(&mut self, part: Part) {
        let many = self.parts.len() >= PARTS;
        match (part, self.parts.back_mut()) {
            (Part::Zeros(0) | Part::Stored(0), _) => {}
            _ if self.end != End::Open => {}
            (Part::Zeros(more), Some(Part::Zeros(length)))
            | (Part::Stored(more), Some(Part::Stored(length))) => {
                *length += more;
                self.unheld += more;
            }
            // Zeros are in the file, too.
            (
                Part::Zeros(more) | Part::Stored(more),
                Some(last @ (Part::Zeros(_) | Part::Stored(_))),
            ) if many => {
                if let Part::Zeros(length) | Part::Stored(length) = *last {
                    *last = Part::Stored(length + more);
                }
                self.unheld += more;
            }
            (part, _) => {
                if let Part::Zeros(length) | Part::Stored(length) = part {
                    self.unheld += length;
                }
                self.parts.push_back(part);
            }
        }
    }

    /// Takes the first part, or a step of it.
    fn take(&mut self) -> Option<Part> {
        let taken = match self.parts.front_mut()? {
            Part::Held(bytes) => {
                self.in_hand = bytes.len().max(LEAST);
                Part::Held(mem::take(bytes))
            }
            Part::Zeros(left) => Part::Zeros(step(left)),
            Part::Stored(left) => Part::Stored(step(left)),
        };
        if let Part::Zeros(length) | Part::Stored(length) = taken {
            self.unheld -= length;
        }
        if !matches!(
            self.parts.front(),
            Some(Part::Zeros(1..) | Part::Stored(1..))
        ) {
            self.parts.pop_front();
        }
        Some(taken)
    }
}

/// What is read next of `left` bytes, and takes it off.
fn step(left: &mut u64) -> u64 {
    let step = (*left).min(STEP as u64);
    *left -= step;
    step
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    fn buffer(bytes: usize) -> Bytes {
        vec![7; bytes].into()
    }

    /// The rest of what is in it, each part as what it is and how long.
    fn rest(backlog: &Backlog) -> Vec<(char, u64)> {
        backlog.end(End::Whole);
        let next = || backlog.next().unwrap();
        let parts = std::iter::from_fn(next).map(|part| match part {
            Part::Held(bytes) => ('h', bytes.len() as u64),
            Part::Zeros(length) => ('z', length),
            Part::Stored(length) => ('s', length),
        });
        parts.collect()
    }

    #[test]
    fn parts_come_in_their_order_and_those_that_nobody_holds_in_steps() {
        let backlog = Backlog::default();
        backlog.unheld(Part::Stored(STEP as u64 + 1));
        backlog.bytes(buffer(10));
        backlog.bytes(buffer(STEP + 1));
        backlog.unheld(Part::Zeros(1));
        backlog.unheld(Part::Zeros(2));
        backlog.bytes(buffer(1));
        let step = STEP as u64;
        let parts = [
            ('s', step),
            ('s', 1),
            ('h', 10),
            ('h', step + 1),
            ('z', 3),
            ('h', 1),
        ];
        assert_eq!(rest(&backlog), parts);
    }

    #[test]
    fn behind_much_that_nobody_holds_buffers_are_let_go() {
        let (backlog, held) = (Backlog::default(), HELD as u64);
        backlog.unheld(Part::Zeros(held));
        backlog.bytes(buffer(5));
        backlog.unheld(Part::Zeros(1));
        for _ in 0..3 {
            // Were it held, this would wait for ever.
            backlog.bytes(buffer(HELD));
        }
        let parts = rest(&backlog);
        assert_eq!(parts.iter().filter(|part| part.0 == 'h').count(), 1);
        let stored = parts.iter().filter(|part| part.0 == 's');
        assert_eq!(stored.map(|part| part.1).sum::<u64>(), 3 * held);
    }

    #[test]
    fn what_nobody_holds_takes_a_bounded_number_of_parts() {
        let backlog = Backlog::default();
        backlog.unheld(Part::Zeros(HELD as u64 + 1));
        for _ in 0..10 * PARTS {
            backlog.bytes(Bytes::new());
            backlog.unheld(Part::Zeros(0));
            backlog.bytes(buffer(1));
            backlog.unheld(Part::Zeros(1));
        }
        assert_eq!(backlog.lock().parts.len(), PARTS);
        let bytes: u64 = rest(&backlog).iter().map(|part| part.1).sum();
        assert_eq!(bytes, HELD as u64 + 1 + 20 * PARTS as u64);
    }

    #[test]
    fn a_writer_waits_until_what_is_held_is_hashed() {
        let (backlog, (told, written)) = (Backlog::default(), mpsc::channel());
        thread::scope(|scope| {
            scope.spawn(|| {
                // A small one first, for which alone the thread is not woken, and then one that has no room beside it.
                for bytes in [1, HELD, LEAST] {
                    backlog.bytes(buffer(bytes));
                    told.send(bytes).unwrap();
                }
                backlog.end(End::Whole);
            });
            assert_eq!(backlog.next(), Ok(Some(Part::Held(buffer(1)))));
            assert_eq!(written.recv(), Ok(1));
            assert_eq!(backlog.next(), Ok(Some(Part::Held(buffer(HELD)))));
            assert_eq!(written.recv(), Ok(HELD));
            // It is in hand, and counts.
            written.try_recv().unwrap_err();
            assert_eq!(backlog.lock().held, HELD);
            assert_eq!(backlog.next(), Ok(Some(Part::Held(buffer(LEAST)))));
            assert_eq!(backlog.next(), Ok(None));
        });
    }

    #[test]
    fn small_buffers_count_for_more_than_their_bytes() {
        let backlog = Backlog::default();
        for _ in 0..HELD / LEAST {
            backlog.bytes(buffer(1));
        }
        assert_eq!(backlog.lock().held, HELD);
    }

    #[test]
    fn nobody_waits_once_it_is_stopped() {
        let backlog = Backlog::default();
        thread::scope(|scope| {
            backlog.bytes(buffer(HELD));
            scope.spawn(|| backlog.end(End::Stop));
            backlog.bytes(buffer(HELD));
            backlog.bytes(buffer(HELD));
        });
        assert_eq!(backlog.next(), Err(Unwanted));
    }
}
