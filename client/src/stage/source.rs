//! Where the contents of staged pages come from: a reader of known length, or nothing but a length.
//!
//! **Invariant:** reads a call's bytes only when they are asked for, into a buffer of its own; and shows none of them in `Debug`.

use std::{fmt, io};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::buffers::Buffers;
use crate::addr::PAGE_BYTES;

/// The contents for consecutive pages.
pub struct Source<'a> {
    contents: Contents<'a>,
    pages: u64,
}

enum Contents<'a> {
    /// This many bytes are left in the reader; zeros follow up to the end of the last page.
    Data {
        reader: Box<dyn AsyncRead + Send + Unpin + 'a>,
        left: u64,
        buffers: Buffers,
    },
    /// Nothing is sent but a length: zeros, or pages that the platform writes.
    LengthOnly,
}

/// A length that is no whole number of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LengthError {
    /// Nothing to stage.
    #[error("length is 0x0 bytes; give at least one page of 4096 bytes")]
    Empty,
    /// The last page is not full.
    #[error(
        "length {0:#x} bytes is no multiple of 4096: the last page has {over:#x} bytes; pad it with zeros, or cut it off",
        over = .0 % PAGE_BYTES
    )]
    PartOfPage(u64),
}

impl<'a> Source<'a> {
    /// The next `bytes` bytes of `reader`, whole pages.
    ///
    /// # Errors
    /// `bytes` is zero or no multiple of 4096.
    pub fn data(
        reader: impl AsyncRead + Send + Unpin + 'a,
        bytes: u64,
    ) -> Result<Self, LengthError> {
        whole_pages(bytes)?;
        Self::padded(reader, bytes)
    }

    /// The next `bytes` bytes of `reader`, the last page filled up with zeros.
    ///
    /// # Errors
    /// `bytes` is zero.
    pub fn padded(
        reader: impl AsyncRead + Send + Unpin + 'a,
        bytes: u64,
    ) -> Result<Self, LengthError> {
        match bytes {
            0 => Err(LengthError::Empty),
            _ => Ok(Self {
                contents: Contents::Data {
                    reader: Box::new(reader),
                    left: bytes,
                    buffers: Buffers::default(),
                },
                pages: bytes.div_ceil(PAGE_BYTES),
            }),
        }
    }

    /// Pages without contents of the caller's: ZERO, SECRETS, or a run of zeros that is NORMAL.
    ///
    /// # Errors
    /// `bytes` is zero or no multiple of 4096.
    pub fn length_only(bytes: u64) -> Result<Self, LengthError> {
        Ok(Self {
            contents: Contents::LengthOnly,
            pages: whole_pages(bytes)?,
        })
    }

    /// Pages, at least one.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Whether bytes travel with each call.
    pub(crate) fn has_data(&self) -> bool {
        matches!(self.contents, Contents::Data { .. })
    }

    /// The contents of the next `pages` pages; `None` where there is only a length.
    pub(crate) async fn take(&mut self, pages: u64) -> io::Result<Option<Bytes>> {
        let Contents::Data {
            reader,
            left,
            buffers,
        } = &mut self.contents
        else {
            return Ok(None);
        };
        let room = pages
            .checked_mul(PAGE_BYTES)
            .and_then(|bytes| usize::try_from(bytes).ok());
        let mut block = buffers.take(room.ok_or(io::ErrorKind::OutOfMemory)?);
        let bytes = block.as_mut();
        let wanted = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (bytes, padding) = bytes.split_at_mut(wanted);
        padding.fill(0);
        if let Err(error) = reader.read_exact(bytes).await {
            // The length was taken before; a source that shrank since must not be filled up with zeros.
            let shrank = error.kind() == io::ErrorKind::UnexpectedEof;
            let told = || format!("it ended early, with {left:#x} bytes of its length to come");
            return Err(if shrank {
                io::Error::new(error.kind(), told())
            } else {
                error
            });
        }
        *left -= wanted as u64;
        Ok(Some(block.freeze()))
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("pages", &self.pages)
            .field("data", &self.has_data())
            .finish()
    }
}

fn whole_pages(bytes: u64) -> Result<u64, LengthError> {
    match (bytes, bytes % PAGE_BYTES) {
        (0, _) => Err(LengthError::Empty),
        (_, 0) => Ok(bytes / PAGE_BYTES),
        (_, _) => Err(LengthError::PartOfPage(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_is_no_whole_number_of_pages_is_refused_with_the_way_out() {
        assert_eq!(Source::data(&[][..], 0).unwrap_err(), LengthError::Empty);
        let error = Source::data(&[][..], 0x1003).unwrap_err();
        assert_eq!(
            error.to_string(),
            "length 0x1003 bytes is no multiple of 4096: the last page has 0x3 bytes; pad it with zeros, or cut it off"
        );
        Source::length_only(1).unwrap_err();
        assert_eq!(Source::length_only(0x2000).unwrap().pages(), 2);
    }

    #[tokio::test]
    async fn padding_fills_only_the_last_page() {
        let bytes = vec![7; 4096 + 3];
        let mut source = Source::padded(bytes.as_slice(), 4099).unwrap();
        assert_eq!(source.pages(), 2);
        assert_eq!(source.take(1).await.unwrap().unwrap(), vec![7; 4096]);
        let last = source.take(1).await.unwrap().unwrap();
        assert_eq!((&last[..3], &last[3..]), (&[7; 3][..], &[0; 4093][..]));
    }

    #[tokio::test]
    async fn a_source_that_ends_early_is_never_filled_up() {
        let bytes = vec![7; 4096 + 3];
        let mut source = Source::data(bytes.as_slice(), 8192).unwrap();
        source.take(1).await.unwrap();
        let error = source.take(1).await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("0x1000 bytes of its length to come"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_longer_source_is_read_only_as_far_as_asked() {
        let mut source = Source::data(&[7; 5000][..], 4096).unwrap();
        assert_eq!(source.take(1).await.unwrap().unwrap().len(), 4096);
    }
}
