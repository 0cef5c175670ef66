//! A guest_memfd.
//!
//! **Invariant:** its file has pages only where one was installed.

use std::collections::HashMap;

/// A guest_memfd of a VM.
#[derive(Debug)]
pub struct Gmem {
    /// The number that it was given to the process as.
    pub fd: i32,
    /// Its size.
    pub bytes: u64,
    /// Its pages, by index; one that nothing was done to has no entry.
    pub pages: HashMap<u64, Page>,
    /// Its close-on-exec flag has been looked at by an install.
    pub seen_by_install: bool,
}

/// What the kernel and the platform know of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Its folio is up to date, which until 6.19 means "populated".
    pub prepared: bool,
    /// It belongs to the guest: assigned in the RMP (SNP), mapped in the S-EPT (TDX).
    pub assigned: bool,
    /// Its memory failed.
    pub poisoned: bool,
    /// The model put contents there, so a correct host never submits it again.
    pub installed: bool,
}

impl Gmem {
    /// An empty one.
    #[must_use]
    pub fn new(fd: i32, bytes: u64) -> Self {
        Self {
            fd,
            bytes,
            pages: HashMap::new(),
            seen_by_install: false,
        }
    }
}
