//! What a session is given of a plan.
//!
//! **Invariant:** one part for each extent, in their order; bytes travel exactly where the page type wants some.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use stagepages_digest::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

use super::{Contents, Extent, FileSlice, Payload, Plan};
use crate::{
    addr::PAGE_BYTES,
    images::ImageName,
    session::{Part, SessionName},
    stage::{LengthError, Source},
    v1::PageType,
};

/// Bytes of a file that are read at once.
const READ_BYTES: usize = 256 << 10;

impl Plan {
    /// The extents as parts, to be staged with [`Session::stage`](crate::session::Session::stage).
    ///
    /// Zeros travel as a length where StagePages takes one, and as bytes where it wants contents: UNMEASURED and CPUID.
    ///
    /// # Errors
    /// An extent is longer than a length can say; none that a check passed is.
    pub fn parts(&self) -> Result<Vec<Part<'static>>, LengthError> {
        self.extents.iter().map(Extent::part).collect()
    }

    /// The same, with the pages that `payload`, which is this plan's, has from the stored image of that name.
    ///
    /// # Errors
    /// As at [`Plan::parts`].
    pub fn parts_from(
        &self,
        payload: &Payload,
        image: ImageName,
    ) -> Result<Vec<Part<'static>>, LengthError> {
        let extents = self.extents.iter().enumerate();
        extents
            .map(|(nth, extent)| match payload.offset(nth) {
                Some(offset) => extent.part_from(image, offset),
                None => extent.part(),
            })
            .collect()
    }

    /// The name of a session that stages this: a later one with an equal plan takes it up. Of contents it has the digest; where nothing is measured
    /// the calls' own names tell them apart. `digest` is the plan's.
    #[must_use]
    pub fn session(&self, digest: Option<Value>) -> SessionName {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&i32::from(self.platform).to_le_bytes());
        hasher.update(&digest.unwrap_or([0; 48]));
        for extent in &self.extents {
            hasher.update(&extent.gpa().bytes().to_le_bytes());
            hasher.update(&extent.pages().to_le_bytes());
            hasher.update(&i32::from(extent.page_type()).to_le_bytes());
        }
        SessionName::of_hash(&hasher.finalize())
    }
}

impl Extent {
    /// It, with what it holds.
    ///
    /// # Errors
    /// As at [`Plan::parts`].
    pub fn part(&self) -> Result<Part<'static>, LengthError> {
        let length = self.pages().saturating_mul(PAGE_BYTES);
        let source = match (self.contents(), self.page_type()) {
            (Contents::Bytes(bytes), _) if bytes.len() as u64 == length => {
                Source::bytes(bytes.clone())
            }
            (Contents::Bytes(bytes), _) => {
                Source::padded(io::Cursor::new(bytes.clone()), bytes.len() as u64)
            }
            (Contents::File(slice), _) => {
                Source::padded(Reader::new(slice.clone()), slice.length())
            }
            (Contents::Zeros, PageType::Unmeasured | PageType::Cpuid) => {
                Source::data(tokio::io::repeat(0).take(length), length)
            }
            (
                Contents::Zeros,
                PageType::Normal | PageType::Zero | PageType::Secrets | PageType::Unspecified,
            ) => Source::length_only(length),
        };
        Ok(self.with(source?))
    }

    /// It, from a stored image whose bytes from `offset` on are its pages.
    ///
    /// # Errors
    /// `offset` is no multiple of 4096, or as at [`Plan::parts`].
    pub fn part_from(&self, image: ImageName, offset: u64) -> Result<Part<'static>, LengthError> {
        let length = self.pages().saturating_mul(PAGE_BYTES);
        Source::image(image, offset, length).map(|source| self.with(source))
    }

    fn with(&self, source: Source<'static>) -> Part<'static> {
        Part {
            gpa: self.gpa(),
            page_type: self.page_type(),
            source,
        }
    }
}

/// A part of a file, read in place: extents of one file share no position in it.
struct Reader {
    slice: FileSlice,
    at: u64,
}

impl Reader {
    fn new(slice: FileSlice) -> Self {
        Self { slice, at: 0 }
    }
}

impl AsyncRead for Reader {
    /// Reads at once, as the digest was read before: it is a local file, and mostly still in memory.
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.slice.length().saturating_sub(self.at);
        let most = out.remaining().min(READ_BYTES);
        let count = usize::try_from(left).map_or(most, |left| left.min(most));
        let (slice, at) = (self.slice.clone(), self.at);
        let room = out.initialize_unfilled_to(count);
        slice.read(at, room)?;
        out.advance(count);
        self.at = at.saturating_add(count as u64);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, sync::Arc};

    use bytes::Bytes;

    use super::*;
    use crate::{
        addr::Gpa,
        plan::test::plan,
        stage::{content::Content, source::Kind},
        v1::Platform,
    };

    async fn taken(source: &mut Source<'_>, pages: u64) -> Bytes {
        match source.take(pages).await.unwrap() {
            Content::Data(data) => data,
            other @ (Content::LengthOnly | Content::Image { .. }) => panic!("{other:?}"),
        }
    }

    fn of_zeros(page_type: PageType) -> Extent {
        Extent::zeros(Gpa::new(0x1000), page_type, 2, "zeros").unwrap()
    }

    #[tokio::test]
    async fn zeros_travel_as_bytes_only_where_the_api_wants_contents() {
        for (page_type, data) in [
            (PageType::Normal, false),
            (PageType::Zero, false),
            (PageType::Secrets, false),
            (PageType::Unmeasured, true),
            (PageType::Cpuid, true),
        ] {
            let mut parts = plan(Platform::Sim, vec![of_zeros(page_type)])
                .parts()
                .unwrap();
            let source = &mut parts[0].source;
            assert_eq!(
                (source.pages(), source.kind() == Kind::Data),
                (2, data),
                "{page_type:?}"
            );
            let taken = source.take(2).await.unwrap();
            let wanted = match data {
                true => Content::Data(vec![0; 2 * 4096].into()),
                false => Content::LengthOnly,
            };
            assert_eq!(taken, wanted, "{page_type:?}");
        }
    }

    #[tokio::test]
    async fn two_extents_of_one_file_are_read_apart_and_padded() {
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * READ_BYTES).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let file = Arc::new(file);
        let extent = |gpa, offset: usize, length: usize| {
            let slice = FileSlice::new(Arc::clone(&file), offset as u64, length as u64);
            let contents = Contents::File(slice);
            Extent::new(Gpa::new(gpa), PageType::Normal, contents, "part").unwrap()
        };
        let long = 2 * READ_BYTES;
        let plan = plan(
            Platform::Sim,
            vec![extent(0, 5, long), extent(0x20_0000, 1, 3)],
        );
        let mut parts = plan.parts().unwrap();
        let second = taken(&mut parts[1].source, 1).await;
        let first = taken(&mut parts[0].source, long as u64 / 4096).await;
        assert!(first == bytes[5..5 + long]);
        assert!(second[..3] == bytes[1..4] && second[3..] == [0; 4093]);
    }
}
