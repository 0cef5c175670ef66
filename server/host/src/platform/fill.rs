//! Copies the bytes of a chunk into a mapping whose pages do not exist yet.

use std::{io, os::fd::AsFd as _};

use stagepages_kvm::{KvmError, Mapping, PAGE_BYTES, Part};

use super::{Contents, Source, Stop};
use crate::launch::{Lap, Spent};

/// Makes the pages of `part` exist, zero, and copies the source into them; adds to `spent` how long each took.
///
/// The pages are made before they are written (`MADV_POPULATE_WRITE`), so that a lack of memory or a poisoned page is an errno here and
/// never a signal in the copy; it is also more than twice as fast as a fault for each page (kernel.md, section 12).
///
/// # Errors
/// [`Stop::Kernel`] or [`Stop::Source`]; the pages may then exist and hold anything.
pub(super) fn fill(part: &mut Part<'_>, source: Source<'_>, spent: &mut Spent) -> Result<(), Stop> {
    let mut lap = Lap::start();
    part.populate()?;
    spent.ioctl += lap.split();
    let copied = copy(part, source);
    spent.copy += lap.split();
    copied
}

fn copy(part: &mut Part<'_>, source: Source<'_>) -> Result<(), Stop> {
    let Source::File(file, offset) = source else {
        return Ok(());
    };
    if let Some(window) = file.window() {
        let copied = part.copy_from(window, offset);
        return copied.map_err(|error| Stop::Source(io::Error::other(error)));
    }
    let want = part.pages() * PAGE_BYTES;
    // A regular file gives all it has at once: less is its end, and no reason to ask again.
    match part.read_from(file.as_fd(), offset) {
        Ok(got) if got == want => Ok(()),
        Ok(got) => Err(Stop::Source(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("the source ends after {got:#x} of {want:#x} bytes at offset {offset:#x}"),
        ))),
        Err(error) => Err(Stop::Source(io::Error::other(error))),
    }
}

/// How many pages from index `first` on, at most `pages`, do not exist.
///
/// # Errors
/// What the kernel said.
pub(super) fn absent_prefix<K>(
    mapping: &Mapping<K>,
    first: u64,
    pages: u64,
) -> Result<u64, KvmError> {
    let mut vector = vec![0; usize::try_from(pages).unwrap_or(usize::MAX)];
    mapping.exists(first, &mut vector)?;
    Ok(vector.iter().take_while(|page| **page & 1 == 0).count() as u64)
}

/// What `pages` installed pages from index `first` on hold.
pub(super) fn contents<K>(mapping: &Mapping<K>, first: u64, pages: u64) -> Contents<'_> {
    // Out of bounds cannot be: they were just written through the same mapping.
    mapping
        .pages(first, pages)
        .map_or(Contents::Unknown, Contents::Bytes)
}
