//! The bytes of a plan as one image: what its extents hold, one after the other.
//!
//! Only contents that StagePages takes from an image, and that somebody wrote: NORMAL and UNMEASURED pages from bytes or files. Zeros have a call of their own, and
//! CPUID pages travel.
//!
//! **Invariant:** whole pages, each extent's from a page on; the same plan is the same image.

use std::io;

use super::{Contents, Extent, Plan};
use crate::{addr::PAGE_BYTES, images::ReadAt, v1::PageType};

/// The image of a plan, read when it is needed.
#[derive(Clone, Debug)]
pub struct Payload {
    /// In the order of their offsets, without gaps.
    pieces: Vec<Piece>,
    length: u64,
}

#[derive(Clone, Debug)]
struct Piece {
    /// Which extent of the plan.
    extent: usize,
    offset: u64,
    contents: Contents,
}

impl Payload {
    /// That of `plan`; `None` if nothing in it comes from an image.
    #[must_use]
    pub fn of(plan: &Plan) -> Option<Self> {
        let held = plan.extents.iter().enumerate();
        Self::new(held.filter_map(|(nth, it)| Some((nth, it.pages(), held_by(it)?.clone()))))
    }

    /// That of one extent from these contents; `None` if there is not a byte in them.
    #[must_use]
    pub fn of_contents(contents: Contents) -> Option<Self> {
        let pages = contents.length()?.div_ceil(PAGE_BYTES);
        Self::new([(0, pages, contents)].into_iter())
    }

    fn new(held: impl Iterator<Item = (usize, u64, Contents)>) -> Option<Self> {
        let (mut pieces, mut length) = (Vec::new(), 0_u64);
        for (extent, pages, contents) in held {
            pieces.push(Piece {
                extent,
                offset: length,
                contents,
            });
            length = length.checked_add(pages.checked_mul(PAGE_BYTES)?)?;
        }
        (length > 0).then_some(Self { pieces, length })
    }

    /// Where extent `nth` of the plan begins in the image; `None` if its pages do not come from there.
    #[must_use]
    pub fn offset(&self, nth: usize) -> Option<u64> {
        let at = self
            .pieces
            .binary_search_by_key(&nth, |it| it.extent)
            .ok()?;
        self.pieces.get(at).map(|piece| piece.offset)
    }
}

/// The contents of an extent that can come from an image.
fn held_by(extent: &Extent) -> Option<&Contents> {
    match (extent.page_type(), extent.contents()) {
        (
            PageType::Normal | PageType::Unmeasured,
            held @ (Contents::Bytes(_) | Contents::File(_)),
        ) => Some(held),
        (PageType::Normal | PageType::Unmeasured, Contents::Zeros)
        | (PageType::Zero | PageType::Secrets | PageType::Cpuid | PageType::Unspecified, _) => None,
    }
}

impl ReadAt for Payload {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        let first = self.pieces.partition_point(|piece| piece.offset <= at);
        let mut pieces = self.pieces.iter().skip(first.saturating_sub(1)).peekable();
        let (mut at, mut out) = (at, out);
        while !out.is_empty() {
            let piece = pieces.next().ok_or(io::ErrorKind::UnexpectedEof)?;
            let end = pieces.peek().map_or(self.length, |next| next.offset);
            let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            let (part, rest) = out.split_at_mut(left.min(out.len()));
            piece.contents.read_padded(at - piece.offset, part)?;
            at += part.len() as u64;
            out = rest;
        }
        Ok(())
    }
}

impl Contents {
    /// Fills `out` with what is from `at` on, and behind the end with zeros.
    fn read_padded(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        let left = self.length().unwrap_or(0).saturating_sub(at);
        let held = usize::try_from(left).map_or(out.len(), |left| left.min(out.len()));
        let (bytes, padding) = out.split_at_mut(held);
        padding.fill(0);
        match self {
            _ if bytes.is_empty() => {}
            Self::Bytes(held) => held.read_at(at, bytes)?,
            Self::File(slice) => slice.read_at(at, bytes)?,
            Self::Zeros => bytes.fill(0),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, sync::Arc};

    use super::*;
    use crate::{
        addr::Gpa,
        images::ImageName,
        plan::{FileSlice, test::plan},
        stage::{content::Content, source::Kind},
        v1::Platform,
    };

    fn of_bytes(gpa: u64, page_type: PageType, bytes: Vec<u8>) -> Extent {
        Extent::new(
            Gpa::new(gpa),
            page_type,
            Contents::Bytes(bytes.into()),
            "bytes",
        )
        .unwrap()
    }

    fn of_file(gpa: u64, offset: u64, length: u64) -> Extent {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&(0..=250).cycle().take(0x9000).collect::<Vec<u8>>())
            .unwrap();
        let slice = FileSlice::new(Arc::new(file), offset, length);
        Extent::new(
            Gpa::new(gpa),
            PageType::Normal,
            Contents::File(slice),
            "file",
        )
        .unwrap()
    }

    fn mixed() -> Plan {
        let zeros = |gpa, page_type| Extent::zeros(Gpa::new(gpa), page_type, 4, "zeros").unwrap();
        plan(
            Platform::Sim,
            vec![
                zeros(0x10_0000, PageType::Zero),
                of_bytes(0x1000, PageType::Normal, vec![1; 5000]),
                of_bytes(0x20_0000, PageType::Cpuid, vec![2; 4096]),
                of_file(0x8000, 100, 0x3001),
                zeros(0x30_0000, PageType::Normal),
                of_bytes(0x40_0000, PageType::Unmeasured, vec![3; 4096]),
                zeros(0x50_0000, PageType::Unmeasured),
            ],
        )
    }

    #[test]
    fn what_somebody_wrote_lies_page_by_page_one_behind_the_other() {
        let payload = Payload::of(&mixed()).unwrap();
        let offsets: Vec<_> = (0..8).map(|nth| payload.offset(nth)).collect();
        assert_eq!(
            offsets,
            [
                None,
                Some(0),
                None,
                Some(0x2000),
                None,
                Some(0x6000),
                None,
                None
            ]
        );
        let mut wanted = vec![1; 5000];
        wanted.resize(0x2000, 0);
        wanted.extend((0..=250_u8).cycle().skip(100).take(0x3001));
        wanted.resize(0x6000, 0);
        wanted.extend([3; 0x1000]);
        assert_eq!(payload.length(), wanted.len() as u64);
        // However it is read.
        for step in [wanted.len(), 0x1000, 777] {
            let mut read = vec![9; wanted.len()];
            for (nth, part) in read.chunks_mut(step).enumerate() {
                payload.read_at((nth * step) as u64, part).unwrap();
            }
            assert!(read == wanted, "by {step}");
        }
        payload.read_at(0x6001, &mut [0; 0x1000]).unwrap_err();
    }

    #[tokio::test]
    async fn parts_name_the_image_where_it_has_the_bytes_and_nowhere_else() {
        use Kind::{Data, Image, LengthOnly};

        let (plan, name) = (mixed(), ImageName::of_digest([7; 32]));
        let payload = Payload::of(&plan).unwrap();
        let mut parts = plan.parts_from(&payload, name).unwrap();
        let plain = plan.parts().unwrap();
        let mut kinds = Vec::new();
        for (part, plain) in parts.iter_mut().zip(&plain) {
            assert_eq!((part.gpa, part.page_type), (plain.gpa, plain.page_type));
            assert_eq!(part.source.pages(), plain.source.pages());
            kinds.push(part.source.kind());
            if part.source.kind() != Image {
                assert_eq!(part.source.kind(), plain.source.kind());
            }
        }
        assert_eq!(
            kinds,
            [LengthOnly, Image, Data, Image, LengthOnly, Image, Data]
        );
        let second = parts[3].source.take(1).await.unwrap();
        assert_eq!(
            second,
            Content::Image {
                name,
                offset: 0x2000
            }
        );
    }

    #[test]
    fn a_plan_without_bytes_has_none() {
        let zeros = Extent::zeros(Gpa::new(0), PageType::Normal, 4, "zeros").unwrap();
        assert!(Payload::of(&plan(Platform::Sim, vec![zeros])).is_none());
        assert!(Payload::of_contents(Contents::Bytes(bytes::Bytes::new())).is_none());
        assert!(Payload::of_contents(Contents::Zeros).is_none());
    }
}
