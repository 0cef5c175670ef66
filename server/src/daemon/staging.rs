//! The memory through which a launch's pages go from the daemon to its host: a memfd, cut into slots.
//!
//! Both have it mapped: the daemon copies pages into a slot, the host copies them out of it. That takes half the time of `pwrite` and `pread`, which look every
//! page up. A slot belongs to one call until the host has answered it, also when the call itself is gone.
//!
//! ```text
//!  free, no pages ──call──▶ used ──answered──▶ free, pages of zeros ──no call for IDLE, or closed──▶ free, no pages
//!                            ▲                        │
//!                            └──────── next call ─────┘
//! ```
//!
//! A slot is wiped when its call was answered, as far as the call wrote it: behind the answer, so that the caller does not wait for it. While calls follow each
//! other its pages stay: to allocate and free them for each call costs five times as much as to overwrite them. While it has pages it is locked in memory, as far
//! as the limit allows.
//!
//! A daemon that ends leaves calls with hosts, which complete them: what those are to read is left as it is, until the last of the two has closed
//! the memory.
//!
//! **Invariant:** no slot is used by two calls at a time, none changes while a host may read it, none that no call has holds contents, and a launch that nothing
//! is staged into for [`IDLE`] has no memory in here.

use std::{
    fs::File,
    io,
    os::fd::AsFd as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use nix::{
    fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};
use stagepages_images::{Pinned, Store};
use stagepages_kvm::Window;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use super::{Asked, OnTheWay, on_disk};

mod room;
#[cfg(test)]
mod tests;

use room::Room;
pub use room::check_locking;

/// Most data of one call, and the size of a slot, in bytes.
pub const MAX_DATA_BYTES: u64 = 2 << 20;

/// Most of a stored image that one call stages, in bytes.
pub const MAX_SLICE_BYTES: u64 = 64 << 20;

/// Calls of one launch that are with its host at one time.
const SLOTS: usize = 8;

/// How long pages may stay after the last call was answered. Longer than calls of one client are apart, even of one that waits for each answer.
const IDLE: Duration = Duration::from_millis(100);

/// A launch's staging memory. It holds no page until a call uses it.
#[derive(Debug)]
pub struct Staging {
    file: File,
    slots: Mutex<Slots>,
    turns: Arc<Semaphore>,
}

/// The slots that no call has.
#[derive(Debug)]
struct Slots {
    /// By number; `None` while a call has it.
    free: [Option<Room>; SLOTS],
    /// How often one was taken.
    taken: u64,
    /// Somebody will look whether the launch is idle.
    watched: bool,
}

/// A slot, for one call.
#[derive(Debug)]
pub struct Slot {
    staging: Arc<Staging>,
    number: usize,
    /// `None` once it was given back.
    room: Option<Room>,
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
    /// Its tenant's quota counts its pages.
    pub on_the_way: Option<OnTheWay>,
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
        let whole = Window::map(file.as_fd(), MAX_DATA_BYTES * SLOTS as u64)?;
        let mut rest = Some(whole);
        let slot = usize::try_from(MAX_DATA_BYTES).map_err(io::Error::other)?;
        let free = [(); SLOTS].map(|()| {
            let (window, behind) = rest.take()?.split(slot);
            rest = Some(behind);
            Some(Room::new(window))
        });
        Ok(Arc::new(Self {
            file,
            slots: Mutex::new(Slots {
                free,
                taken: 0,
                watched: false,
            }),
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
        let taken = self.slots().take();
        let (number, room) = taken.ok_or_else(|| io::Error::other("more turns than slots"))?;
        Ok(Slot {
            staging: Arc::clone(self),
            number,
            room: Some(room),
            lent: false,
            _slot_turn: turn,
            held: Held::default(),
        })
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call gives its slot back.
    fn put(self: &Arc<Self>, number: usize, room: Room) {
        let touched = room.touched;
        let mut slots = self.slots();
        if let Some(slot) = slots.free.get_mut(number) {
            *slot = Some(room);
        }
        if touched == 0 || slots.watched {
            return;
        }
        slots.watched = true;
        let seen = slots.idle();
        drop(slots);
        match Handle::try_current() {
            // It does not keep the memory: closing gives it back by itself.
            Ok(runtime) => drop(runtime.spawn(watch(Arc::downgrade(self), seen))),
            // Whoever drops a slot outside of the runtime ends the daemon.
            Err(_no_runtime) => self.give_back(),
        }
    }

    /// Gives back the pages of all slots that no call has.
    fn give_back(&self) {
        let mut slots = self.slots();
        for (number, slot) in (0_u64..).zip(&mut slots.free) {
            let Some(room) = slot.as_mut().filter(|room| room.touched > 0) else {
                continue;
            };
            if let Err(error) = self.punch(number, room) {
                tracing::warn!(%error, "a staging slot keeps its memory until it is used again");
            }
        }
        slots.watched = false;
    }

    /// Gives back the pages of one slot, contents and all.
    fn punch(&self, number: u64, room: &mut Room) -> io::Result<()> {
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let offset = (number * MAX_DATA_BYTES).try_into();
        let length = room.touched.try_into();
        fallocate(
            &self.file,
            hole,
            offset.map_err(io::Error::other)?,
            length.map_err(io::Error::other)?,
        )?;
        room.touched = 0;
        room.written = 0;
        // What is locked counts against the limit, with pages or without.
        room.unlock();
        Ok(())
    }
}

/// Waits until nothing was staged for [`IDLE`], and gives the pages back.
async fn watch(staging: Weak<Staging>, mut seen: Option<u64>) {
    loop {
        sleep(IDLE).await;
        let Some(staging) = staging.upgrade() else {
            return;
        };
        let taken = staging.slots().idle();
        if taken.is_some() && taken == seen {
            // Nobody gets a slot meanwhile: under the lock of the slots.
            return staging.give_back();
        }
        seen = taken;
    }
}

impl Slots {
    /// The lowest free slot: those that have pages, and that are still in the processor's cache.
    fn take(&mut self) -> Option<(usize, Room)> {
        let mut slots = (0..).zip(&mut self.free);
        let taken = slots.find_map(|(number, slot)| Some((number, slot.take()?)));
        self.taken += 1;
        taken
    }

    /// How often one was taken before, if no call has one now.
    fn idle(&self) -> Option<u64> {
        let idle = self.free.iter().all(Option::is_some);
        idle.then_some(self.taken)
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
        let Some(room) = &mut self.room else {
            return Err(io::Error::other("a slot that was given back"));
        };
        room.lock();
        room.touched = room.touched.max(length);
        room.written = room.written.max(data.len());
        room.window.write(data).map_err(io::Error::from)
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
        self.number as u64 * MAX_DATA_BYTES
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // What is lent stays as it is, and its number is never given out again.
        if let Some(mut room) = self.room.take().filter(|_| !self.lent) {
            if let Err(error) = room.wipe() {
                tracing::debug!(%error, "a staging slot is given back, for it cannot be overwritten");
                if let Err(error) = self.staging.punch(self.number as u64, &mut room) {
                    tracing::warn!(%error, "a staging slot keeps its contents until it is used again");
                }
            }
            self.staging.put(self.number, room);
        }
    }
}

impl Drop for Staging {
    /// Contents are gone at once, whoever else still has the memory open; except those of slots that a host may read.
    fn drop(&mut self) {
        self.give_back();
    }
}
