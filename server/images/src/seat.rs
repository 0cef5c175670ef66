//! Who writes an upload, and how far it is.
//!
//! ```text
//!  Open ──commit──▶ Committing ──▶ Over
//!    └──error, idle for too long, room needed──▶ Over
//! ```
//!
//! The last one who took the seat has it: whoever had it before finds out at the next write. A seat's lock is held while bytes are written, so who takes it over
//! waits for one write at most, and then knows the offset.
//!
//! **Invariant:** no two writers write to one upload, and no byte is written to one that is over.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::StoreError;

/// The seat of an upload's writer.
#[derive(Debug)]
pub(crate) struct Seat {
    /// The number of the last one who took it.
    holder: AtomicU64,
    desk: Mutex<Desk>,
}

/// What a writer sits at.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) phase: Phase,
    /// Bytes that are in the file, without gaps.
    pub(crate) offset: u64,
    /// When bytes came, or a writer, or one left.
    pub(crate) last: Instant,
    /// Whether a writer sits there.
    pub(crate) held: bool,
}

/// Where an upload is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Bytes may come.
    Open,
    /// All bytes are there; its writer makes an image of them.
    Committing,
    /// It is an image, or gone.
    Over,
}

impl Seat {
    /// The seat of an upload that nobody writes yet.
    pub(crate) fn new(offset: u64, last: Instant) -> Self {
        let desk = Desk {
            phase: Phase::Open,
            offset,
            last,
            held: false,
        };
        Self {
            holder: AtomicU64::new(0),
            desk: Mutex::new(desk),
        }
    }

    /// Takes the seat; who had it is fenced off. Waits for one write of theirs. Returns the holder's number.
    pub(crate) fn take(&self) -> Result<u64, StoreError> {
        // Before the wait: of writes that are not yet under way, none comes first.
        let number = self.holder.fetch_add(1, Ordering::AcqRel) + 1;
        let mut desk = self.lock();
        if self.holder.load(Ordering::Acquire) != number {
            return Err(StoreError::Fenced);
        }
        match desk.phase {
            Phase::Open => {}
            Phase::Committing => return Err(StoreError::Committing),
            Phase::Over => return Err(StoreError::Dropped),
        }
        desk.held = true;
        desk.last = Instant::now();
        Ok(number)
    }

    /// The desk, for who holds this number.
    pub(crate) fn sit(&self, number: u64) -> Result<MutexGuard<'_, Desk>, StoreError> {
        let desk = self.lock();
        // What became of the upload says more than who has it now.
        match desk.phase {
            Phase::Over => return Err(StoreError::Dropped),
            Phase::Open | Phase::Committing => {}
        }
        if self.holder.load(Ordering::Acquire) != number {
            return Err(StoreError::Fenced);
        }
        Ok(desk)
    }

    /// Leaves the seat, if it is still this holder's.
    pub(crate) fn leave(&self, number: u64) {
        let mut desk = self.lock();
        if self.holder.load(Ordering::Acquire) == number {
            desk.held = false;
            desk.last = Instant::now();
        }
    }

    /// Ends the upload, whatever is done with it.
    pub(crate) fn end(&self) {
        self.lock().phase = Phase::Over;
    }

    /// Ends the upload if `idle` says so of it. One whose bytes are just being written, or that is being committed, is not idle.
    pub(crate) fn end_if(&self, idle: impl FnOnce(&Desk) -> bool) -> bool {
        let Some(mut desk) = self.glance() else {
            return false;
        };
        let end = desk.phase == Phase::Open && idle(&desk);
        if end {
            desk.phase = Phase::Over;
        }
        end
    }

    /// When the upload was left, if nobody writes it.
    pub(crate) fn left(&self) -> Option<Instant> {
        let desk = self.glance()?;
        (!desk.held && desk.phase == Phase::Open).then_some(desk.last)
    }

    /// Bytes that are there, also while more of them come.
    pub(crate) fn offset(&self) -> u64 {
        self.lock().offset
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The desk, unless somebody works at it.
    fn glance(&self) -> Option<MutexGuard<'_, Desk>> {
        match self.desk.try_lock() {
            Ok(desk) => Some(desk),
            Err(TryLockError::Poisoned(desk)) => Some(desk.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
