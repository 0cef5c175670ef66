//! The memory through which a launch's pages go from the daemon to its host: a memfd, cut into slots.
//!
//! The daemon writes a slot with `pwrite`, the host reads it with `pread`. A slot belongs to one call until the host has answered it, also
//! when the call itself is gone; then its pages are given back, so that neither contents nor memory stay behind.
//!
//! A daemon that ends leaves calls with hosts, which complete them: what those are to read is left as it is, until the last of the two has closed
//! the memory.
//!
//! **Invariant:** no slot is used by two calls at a time, none changes while a host may read it, and none keeps contents afterwards.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    sync::{Arc, Mutex, PoisonError},
};

use nix::{
    fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};
use stagepages_images::{Pinned, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Asked, on_disk};

/// Most data of one call, and the size of a slot, in bytes.
pub const MAX_DATA_BYTES: u64 = 2 << 20;

/// Most of a stored image that one call stages, in bytes.
pub const MAX_SLICE_BYTES: u64 = 64 << 20;

/// Calls of one launch that are with its host at one time.
const SLOTS: usize = 8;

/// A launch's staging memory. It holds no page until a call uses it.
#[derive(Debug)]
pub struct Staging {
    file: File,
    free: Mutex<Vec<u64>>,
    turns: Arc<Semaphore>,
}

/// A slot, for one call.
#[derive(Debug)]
pub struct Slot {
    staging: Arc<Staging>,
    number: u64,
    written: u64,
    /// The host may read it at any time.
    lent: bool,
    _slot_turn: OwnedSemaphorePermit,
    /// What the call holds for as long as the host has the slot, whoever waits for the answer.
    held: Held,
}

/// What a call holds until its host has answered it.
#[derive(Debug, Default)]
pub struct Held {
    /// One of the calls that may wait or run.
    pub turn: Option<OwnedSemaphorePermit>,
    /// The queue for firmware counts on its pages.
    pub asked: Option<Asked>,
    /// Its contents are in there.
    pub image: Option<Arc<StoredImage>>,
}

/// An image that a call stages from.
#[derive(Debug)]
pub struct StoredImage {
    /// Its file, pinned.
    pub pinned: Pinned,
    /// Where it is from.
    pub store: Store,
}

impl Held {
    /// The host has found that the image is not what was committed: it is never given out again, whoever waits for the answer.
    pub(super) fn is_corrupt(&self, why: &str) {
        let Some(image) = self.image.clone() else {
            return;
        };
        let why = why.to_owned();
        // Nobody waits for it.
        drop(on_disk(move || {
            tracing::error!(image = %image.pinned.digest(), why, "a stored image is corrupt, and is put aside");
            image.store.quarantine_pinned(&image.pinned, &why);
        }));
    }
}

impl Staging {
    /// Staging memory for one launch.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn new() -> io::Result<Arc<Self>> {
        let memory = memfd_create(
            c"stagepages-staging",
            MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING,
        )?;
        let file = File::from(memory);
        file.set_len(MAX_DATA_BYTES * SLOTS as u64)?;
        // Neither side can pull the memory from under the other.
        fcntl(
            &file,
            FcntlArg::F_ADD_SEALS(
                SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL,
            ),
        )?;
        // The lowest slot is taken first: a launch with one call at a time touches one slot.
        let free = (0..SLOTS as u64).rev().collect();
        Ok(Arc::new(Self {
            file,
            free: Mutex::new(free),
            turns: Arc::new(Semaphore::new(SLOTS)),
        }))
    }

    /// The memory, to be handed to the host.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Waits for a slot, in order of asking. To stop waiting, drop the future.
    ///
    /// # Errors
    /// Never in practice: the slots are never closed.
    pub async fn slot(self: &Arc<Self>) -> io::Result<Slot> {
        let turn = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let number = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let number = number.ok_or_else(|| io::Error::other("more turns than slots"))?;
        Ok(Slot {
            staging: Arc::clone(self),
            number,
            written: 0,
            lent: false,
            _slot_turn: turn,
            held: Held::default(),
        })
    }
}

impl Slot {
    /// Writes the slot, whole.
    ///
    /// # Errors
    /// More than [`MAX_DATA_BYTES`], or the kernel has no memory.
    pub fn write(&mut self, data: &[u8]) -> io::Result<()> {
        let length = data.len() as u64;
        if length > MAX_DATA_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{length} bytes are more than a slot has"),
            ));
        }
        self.written = length;
        self.staging.file.write_all_at(data, self.offset())
    }

    /// What the call holds for as long as the host has the slot.
    pub fn held(&mut self) -> &mut Held {
        &mut self.held
    }

    /// From now on the host may read it: it is left as it is, also when it is dropped.
    pub(super) fn lend(&mut self) {
        self.lent = true;
    }

    /// The host never had it, has answered, or is gone.
    pub(super) fn take_back(&mut self) {
        self.lent = false;
    }

    /// Where the slot begins in the memory.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.number * MAX_DATA_BYTES
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.lent {
            return;
        }
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        if let (Ok(offset), Ok(length @ 1..)) = (self.offset().try_into(), self.written.try_into())
            && let Err(error) = fallocate(&self.staging.file, hole, offset, length)
        {
            tracing::warn!(%error, "a staging slot keeps its contents until it is used again");
        }
        self.staging
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slot_is_used_by_one_call_and_keeps_nothing() {
        let staging = Staging::new().unwrap();
        let mut slots = Vec::new();
        for _ in 0..SLOTS {
            slots.push(staging.slot().await.unwrap());
        }
        let mut numbers: Vec<_> = slots.iter().map(|slot| slot.number).collect();
        numbers.dedup();
        assert_eq!(numbers, (0..SLOTS as u64).collect::<Vec<_>>());

        let first = slots.first_mut().unwrap();
        first.write(&[7; 4096]).unwrap();
        assert!(
            first
                .write(&vec![0; usize::try_from(MAX_DATA_BYTES).unwrap() + 1])
                .is_err()
        );
        let mut page = [0; 4096];
        staging.file().read_exact_at(&mut page, 0).unwrap();
        assert_eq!(page, [7; 4096]);
        drop(slots);
        staging.file().read_exact_at(&mut page, 0).unwrap();
        assert_eq!(page, [0; 4096]);
        assert_eq!(staging.slot().await.unwrap().number, SLOTS as u64 - 1);
    }

    #[tokio::test]
    async fn a_slot_that_a_host_may_read_is_left_as_it_is() {
        let staging = Staging::new().unwrap();
        let mut slot = staging.slot().await.unwrap();
        slot.write(&[7; 4096]).unwrap();
        slot.lend();
        drop(slot);
        let mut page = [0; 4096];
        staging.file().read_exact_at(&mut page, 0).unwrap();
        assert_eq!(page, [7; 4096]);
    }
}
