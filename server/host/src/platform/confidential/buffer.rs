//! The buffer that pages are hashed and installed from.
//!
//! The kernel pins or copies the source when the ioctl runs, which is after it was hashed: whoever could change it in between would have other bytes
//! installed than the ledger says. So it is the host's own, locked into memory, page aligned, and shared with nobody.
//!
//! **Invariant:** what is hashed is what the kernel reads; once a call is over, nothing of it is left.

use std::{fmt, fs::File, io, os::unix::fs::FileExt as _};

use stagepages_kvm::{PAGE_BYTES, PageBuf};

use crate::platform::{Source, Stop};

/// Pages that one ioctl installs at most, so that an abort and other launches wait no longer than for these: on SNP about 1 ms each.
pub(in crate::platform) const BUFFER_PAGES: u64 = 64;

/// A private, locked buffer of [`BUFFER_PAGES`] pages.
pub(in crate::platform) struct Buffer {
    memory: PageBuf,
    /// Pages from its beginning that may hold contents.
    used: u64,
}

impl Buffer {
    /// Takes the memory, and locks it.
    ///
    /// # Errors
    /// `ENOMEM` or `EPERM` beyond the limit on locked memory.
    pub(in crate::platform) fn new() -> io::Result<Self> {
        let mut pages = PageBuf::new(usize::try_from(BUFFER_PAGES).unwrap_or(1))?;
        pages.lock()?;
        Ok(Self {
            memory: pages,
            used: 0,
        })
    }

    /// Copies the first `pages` pages of `source` into the buffer.
    ///
    /// # Errors
    /// [`Stop::Unread`] for a source that is shorter than it ought to be, or cannot be read.
    pub(in crate::platform) fn load(&mut self, pages: u64, source: Source<'_>) -> Result<(), Stop> {
        let Some(room) = usize::try_from(pages)
            .ok()
            .and_then(|pages| self.memory.as_mut_slice().get_mut(..pages * PAGE_BYTES))
        else {
            return Err(Stop::Unread(io::Error::from(io::ErrorKind::InvalidInput)));
        };
        self.used = self.used.max(pages);
        match source {
            Source::File(file, offset) => read(&file, room, offset).map_err(Stop::Unread),
            Source::Blank => {
                room.fill(0);
                Ok(())
            }
        }
    }

    /// Its first `pages` pages.
    pub(in crate::platform) fn bytes(&self, pages: u64) -> &[u8] {
        let bytes = usize::try_from(pages).map_or(0, |pages| pages * PAGE_BYTES);
        self.memory.as_slice().get(..bytes).unwrap_or_default()
    }

    /// The memory, for the kernel.
    pub(in crate::platform) fn memory(&mut self) -> &mut PageBuf {
        // Firmware may write to a page that it refuses: one, the first.
        self.used = self.used.max(1);
        &mut self.memory
    }

    /// Overwrites what it holds.
    pub(in crate::platform) fn wipe(&mut self) {
        self.memory.wipe(self.used);
        self.used = 0;
    }
}

fn read(file: &File, room: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(room, offset).map_err(|error| {
        let text = format!(
            "{:#x} bytes of the source at offset {offset:#x}: {error}",
            room.len()
        );
        io::Error::new(error.kind(), text)
    })
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({BUFFER_PAGES} pages)")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_buffer_holds_exactly_what_was_read_and_zeros_for_nothing() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 3 * PAGE_BYTES]).unwrap();
        let mut buffer = Buffer::new().unwrap();
        buffer.load(2, Source::File((&file).into(), 4096)).unwrap();
        assert_eq!(buffer.bytes(2), [7; 2 * PAGE_BYTES]);
        assert!(
            buffer.bytes(3)[2 * PAGE_BYTES..]
                .iter()
                .all(|byte| *byte == 0)
        );
        buffer.load(1, Source::Blank).unwrap();
        assert_eq!(buffer.bytes(1), [0; PAGE_BYTES]);
        assert_eq!(format!("{buffer:?}"), "Buffer(64 pages)");
    }

    #[test]
    fn a_wiped_buffer_holds_nothing_of_any_load_since_the_last() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 3 * PAGE_BYTES]).unwrap();
        let mut buffer = Buffer::new().unwrap();
        for pages in [3, 1] {
            let source = Source::File((&file).into(), 0);
            buffer.load(pages, source).unwrap();
        }
        buffer.wipe();
        assert!(buffer.bytes(BUFFER_PAGES).iter().all(|byte| *byte == 0));
        // As firmware does with a secrets page, or one that it corrects.
        buffer.memory().as_mut_slice()[0] = 7;
        buffer.wipe();
        assert_eq!(buffer.bytes(1), [0; PAGE_BYTES]);
    }

    #[test]
    fn a_short_source_and_too_many_pages_are_refused() {
        let file = tempfile::tempfile().unwrap();
        let mut buffer = Buffer::new().unwrap();
        let short = buffer.load(1, Source::File((&file).into(), 0)).unwrap_err();
        let Stop::Unread(error) = short else {
            panic!("{short:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("0x1000 bytes"), "{error}");
        let many = buffer.load(BUFFER_PAGES + 1, Source::Blank).unwrap_err();
        assert!(matches!(many, Stop::Unread(_)), "{many:?}");
    }
}
