//! The process that calls, as the model sees it.
//!
//! The library that is preloaded implements this with system calls; the model's own tests implement it in memory.
//!
//! **Invariant:** the model touches nothing of the calling process but through this.

use std::time::Duration;

use crate::trace::What;
use crate::{Answer, Errno};

/// An open file, whatever number it is called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// The device.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
}

/// What a new descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A VM.
    Vm,
    /// A vCPU.
    Vcpu,
    /// A guest_memfd.
    GuestMemfd,
}

/// The calling process and thread.
pub trait World {
    /// The process.
    fn pid(&self) -> u32;

    /// The signals that the thread blocks: bit n is signal n + 1.
    fn blocked_signals(&self) -> u64;

    /// Copies from the process's memory.
    ///
    /// # Errors
    ///
    /// `EFAULT` if some of it cannot be read.
    fn read(&self, addr: u64, bytes: &mut [u8]) -> Answer<()>;

    /// Copies to the process's memory.
    ///
    /// # Errors
    ///
    /// `EFAULT` if some of it cannot be written.
    fn write(&self, addr: u64, bytes: &[u8]) -> Answer<()>;

    /// All of this memory is locked, so it is neither swapped nor moved away under the kernel's hands.
    fn is_locked(&self, addr: u64, bytes: u64) -> bool;

    /// Makes a descriptor of `bytes` bytes, and says which file it is.
    ///
    /// # Errors
    ///
    /// The machine's, `EMFILE` for one.
    fn create(&self, kind: Kind, bytes: u64) -> Answer<(i32, FileId)>;

    /// Which file a number stands for, `None` for none.
    fn identify(&self, fd: i32) -> Option<FileId>;

    /// The descriptor is closed on exec. `None` if there is none.
    fn closes_on_exec(&self, fd: i32) -> Option<bool>;

    /// Writes a page of a descriptor that the model made.
    ///
    /// # Errors
    ///
    /// The machine's, `ENOSPC` for one.
    fn store(&self, fd: i32, offset: u64, page: &[u8]) -> Answer<()>;

    /// Gives a part of a descriptor's memory back.
    ///
    /// # Errors
    ///
    /// The machine's.
    fn punch(&self, fd: i32, offset: u64, bytes: u64) -> Answer<()>;

    /// Waits that long.
    fn wait(&self, time: Duration);

    /// Tells the trace.
    fn tell(&self, what: What);

    /// A violation was told: says so where a person sees it, and ends the process.
    fn stop(&self, words: &str);
}

/// Copies an array from the process's memory.
///
/// # Errors
///
/// `EFAULT` if some of it cannot be read.
pub fn read_array<const N: usize>(world: &dyn World, addr: u64) -> Result<[u8; N], Errno> {
    let mut bytes = [0; N];
    world.read(addr, &mut bytes)?;
    Ok(bytes)
}
