//! Buffers for what calls carry, used again once it is sent.
//!
//! A fresh buffer of 2 MiB is 512 page faults, which cost as much as all that is then done with it.
//!
//! **Invariant:** a buffer is with one call at a time, and at most [`KEPT`] of them wait for the next.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

/// Buffers that are kept: as many as calls are under way at one time, where nobody asks for more.
const KEPT: usize = 8;

/// Where buffers come from, and go back to.
#[derive(Clone, Default)]
pub(crate) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A buffer that somebody fills, or reads.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    home: Buffers,
}

impl Buffers {
    /// A buffer of `length` bytes, which hold anything.
    pub(crate) fn take(&self, length: usize) -> Buffer {
        let kept = self.kept().pop();
        let bytes = match kept {
            Some(mut bytes) if bytes.capacity() >= length => {
                bytes.resize(length, 0);
                bytes
            }
            // Not one that grows, which would copy what it holds.
            Some(_) | None => vec![0; length],
        };
        Buffer {
            bytes,
            home: self.clone(),
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    /// To be filled.
    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Filled. It goes back when nobody has any of it any more.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut kept = self.home.kept();
        if kept.len() < KEPT {
            kept.push(mem::take(&mut self.bytes));
        }
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never what is in them.
        write!(f, "Buffers({} kept)", self.kept().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_only_when_nobody_has_any_of_it() {
        let buffers = Buffers::default();
        let first = buffers.take(8192).freeze();
        let address = first.as_ptr();
        let part = first.slice(4096..);
        drop(first);
        let second = buffers.take(8192).freeze();
        assert_ne!(second.as_ptr(), address);
        drop(part);
        let third = buffers.take(4096);
        assert_eq!((third.bytes.as_ptr(), third.bytes.len()), (address, 4096));
        drop(third);
        // Its capacity is what it was.
        assert_eq!(buffers.take(8192).bytes.as_ptr(), address);
    }

    #[test]
    fn no_more_are_kept_than_are_of_use() {
        let buffers = Buffers::default();
        let all: Vec<_> = (0..KEPT + 3).map(|_| buffers.take(1).freeze()).collect();
        drop(all);
        assert_eq!(buffers.kept().len(), KEPT);
    }
}
