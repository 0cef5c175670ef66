//! Where the contents of staged pages come from: bytes in memory, a reader of known length, a stored image, or nothing but a length.
//!
//! **Invariant:** reads a call's bytes only when they are asked for, into a buffer of its own; and shows none of them in `Debug`.

use std::{fmt, io};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::content::Content;
use crate::{addr::PAGE_BYTES, buffers::Buffers, images::ImageName};

/// The contents for consecutive pages.
pub struct Source<'a> {
    contents: Contents<'a>,
    pages: u64,
}

enum Contents<'a> {
    /// The pages that are left, which are sent as they are.
    Bytes(Bytes),
    /// This many bytes are left in the reader; zeros follow up to the end of the last page.
    Data {
        reader: Box<dyn AsyncRead + Send + Unpin + 'a>,
        left: u64,
        buffers: Buffers,
    },
    /// The rest of a stored image's part begins at this byte.
    Image { name: ImageName, offset: u64 },
    /// Nothing is sent but a length: zeros, or pages that the platform writes.
    LengthOnly,
}

/// What calls for a source carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes.
    Data,
    /// A part of a stored image.
    Image,
    /// A length.
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
    /// A part of an image that begins inside a page.
    #[error("offset {0:#x} in the image is no multiple of 4096")]
    Misplaced(u64),
}

impl<'a> Source<'a> {
    /// Whole pages that are in memory. They are sent from where they are, without a copy.
    ///
    /// # Errors
    /// `bytes` are none, or their number is no multiple of 4096.
    pub fn bytes(bytes: Bytes) -> Result<Self, LengthError> {
        Ok(Self {
            pages: whole_pages(bytes.len() as u64)?,
            contents: Contents::Bytes(bytes),
        })
    }

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

    /// `bytes` bytes of a stored image from `offset` on: whole pages, none of which travels.
    ///
    /// # Errors
    /// `bytes` is zero, or one of the two is no multiple of 4096.
    pub fn image(name: ImageName, offset: u64, bytes: u64) -> Result<Self, LengthError> {
        if !offset.is_multiple_of(PAGE_BYTES) {
            return Err(LengthError::Misplaced(offset));
        }
        Ok(Self {
            contents: Contents::Image { name, offset },
            pages: whole_pages(bytes)?,
        })
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

    /// What each call carries.
    pub(crate) fn kind(&self) -> Kind {
        match self.contents {
            Contents::Bytes(_) | Contents::Data { .. } => Kind::Data,
            Contents::Image { .. } => Kind::Image,
            Contents::LengthOnly => Kind::LengthOnly,
        }
    }

    /// The contents of the next `pages` pages.
    pub(crate) async fn take(&mut self, pages: u64) -> io::Result<Content> {
        let room = pages
            .checked_mul(PAGE_BYTES)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .ok_or(io::ErrorKind::OutOfMemory)?;
        let (reader, left, buffers) = match &mut self.contents {
            Contents::Bytes(bytes) if room > bytes.len() => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Contents::Bytes(bytes) => return Ok(Content::Data(bytes.split_to(room))),
            Contents::Data {
                reader,
                left,
                buffers,
            } => (reader, left, buffers),
            Contents::Image { name, offset } => {
                let (name, at) = (*name, *offset);
                *offset = at.saturating_add(pages.saturating_mul(PAGE_BYTES));
                return Ok(Content::Image { name, offset: at });
            }
            Contents::LengthOnly => return Ok(Content::LengthOnly),
        };
        let mut block = buffers.take(room);
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
        Ok(Content::Data(block.freeze()))
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("pages", &self.pages)
            .field("kind", &self.kind())
            .finish()
    }
}

/// The pages of so many bytes.
///
/// # Errors
/// `bytes` is zero or no multiple of 4096.
pub fn whole_pages(bytes: u64) -> Result<u64, LengthError> {
    match (bytes, bytes % PAGE_BYTES) {
        (0, _) => Err(LengthError::Empty),
        (_, 0) => Ok(bytes / PAGE_BYTES),
        (_, _) => Err(LengthError::PartOfPage(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

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

    /// The bytes of the next page.
    async fn taken(source: &mut Source<'_>) -> Bytes {
        match source.take(1).await.unwrap() {
            Content::Data(data) => data,
            other @ (Content::LengthOnly | Content::Image { .. }) => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_image_is_taken_slice_by_slice() {
        let name = ImageName::of_digest([7; 32]);
        let mut source = Source::image(name, 0x3000, 0x5000).unwrap();
        assert_eq!(source.pages(), 5);
        for (pages, offset) in [(2, 0x3000), (3, 0x5000)] {
            let slice = Content::Image { name, offset };
            assert_eq!(source.take(pages).await.unwrap(), slice);
        }
        let misplaced = Source::image(name, 0x800, 0x1000).unwrap_err();
        assert_eq!(misplaced, LengthError::Misplaced(0x800));
        Source::image(name, 0, 0x800).unwrap_err();
    }

    #[tokio::test]
    async fn what_is_in_memory_is_sent_from_where_it_is() {
        let bytes = Bytes::from(vec![7; 3 * 4096]);
        let mut source = Source::bytes(bytes.clone()).unwrap();
        assert_eq!((source.pages(), source.kind()), (3, Kind::Data));
        for nth in 0..3 {
            assert_eq!(
                taken(&mut source).await.as_ptr(),
                bytes[nth * 4096..].as_ptr()
            );
        }
        source.take(1).await.unwrap_err();
        let odd = Source::bytes(bytes.slice(..4097)).unwrap_err();
        assert_eq!(odd, LengthError::PartOfPage(4097));
        assert_eq!(Source::bytes(Bytes::new()).unwrap_err(), LengthError::Empty);
    }

    #[tokio::test]
    async fn padding_fills_only_the_last_page() {
        let bytes = vec![7; 4096 + 3];
        let mut source = Source::padded(bytes.as_slice(), 4099).unwrap();
        assert_eq!(source.pages(), 2);
        assert_eq!(taken(&mut source).await, vec![7; 4096]);
        let last = taken(&mut source).await;
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
        assert_eq!(taken(&mut source).await.len(), 4096);
    }
}
