//! Segments as pages.
//!
//! ```text
//!  segment 0   |....####|########|##......|                  # bytes of the file
//!  segment 1                     |....####|zzzzzzzz|zzzzz…   z memory beyond them
//!  extents     |        NORMAL            | ZERO            |
//! ```
//!
//! **Invariant:** no page is in two extents; bytes are copied only where a page begins with another segment's, or with none's.

use bytes::Bytes;

use super::headers::{Headers, Segment};
use crate::{
    addr::{Gpa, PAGE_BYTES},
    image::{ImageError, LARGEST_IMAGE, linux_boot::Span},
    plan::{Contents, Extent},
    v1::PageType,
};

/// Segments that share pages, and these pages.
struct Cluster<'a> {
    span: Span,
    segments: Vec<&'a Segment>,
}

/// The pages of all segments, by address.
pub(super) fn extents(file: &Bytes, headers: &Headers) -> Result<Vec<Extent>, ImageError> {
    check(file, &headers.segments)?;
    let clusters = clusters(&headers.segments);
    let mut extents: Vec<Extent> = clusters.iter().filter_map(|it| it.extent(file)).collect();
    extents.extend(zeros(&headers.segments, &clusters));
    extents.sort_by_key(Extent::gpa);
    Ok(extents)
}

/// Sums stay small: a segment ends below 512 GiB, and there are few.
fn check(file: &Bytes, segments: &[Segment]) -> Result<(), ImageError> {
    for (first, second) in segments.iter().zip(segments.iter().skip(1)) {
        if first.end() > second.gpa {
            let problem = format!(
                "segment {} begins at physical address {}, inside segment {}, which ends at {}; link them apart",
                second.index,
                second.gpa,
                first.index,
                first.end()
            );
            return Err(ImageError::at("ELF program header", second.header, problem));
        }
    }
    let length = file.len() as u64;
    let (mut bytes, mut zeros) = (0, 0);
    for segment in segments {
        bytes += segment.file_bytes;
        zeros += segment.memory_bytes - segment.file_bytes;
        if bytes > length {
            let problem = format!(
                "up to segment {} the segments have {bytes:#x} bytes together, and the file only {length:#x}; bytes of a file belong into one segment: link it again",
                segment.index
            );
            return Err(ImageError::at(
                "ELF program header",
                segment.header,
                problem,
            ));
        }
        if zeros > LARGEST_IMAGE {
            let problem = format!(
                "up to segment {} the segments have {zeros:#x} bytes of zeros, more than {LARGEST_IMAGE:#x}; memory that is not staged is zero too: let the kernel take it from there",
                segment.index
            );
            return Err(ImageError::at(
                "ELF program header",
                segment.header,
                problem,
            ));
        }
    }
    Ok(())
}

fn clusters(segments: &[Segment]) -> Vec<Cluster<'_>> {
    let mut clusters: Vec<Cluster<'_>> = Vec::new();
    for segment in segments {
        let Some(span) = Span::of(segment.gpa, segment.file_bytes) else {
            continue;
        };
        match clusters.last_mut() {
            Some(last) if span.start < last.span.end => {
                last.span.end = last.span.end.max(span.end);
                last.segments.push(segment);
            }
            Some(_) | None => clusters.push(Cluster {
                span,
                segments: vec![segment],
            }),
        }
    }
    clusters
}

impl Cluster<'_> {
    fn extent(&self, file: &Bytes) -> Option<Extent> {
        let bytes = match self.segments.as_slice() {
            [only] if only.gpa == self.span.start => {
                let (start, end) = place(only.offset, only.file_bytes)?;
                file.slice(start..end)
            }
            several => {
                let mut pages = vec![0; usize::try_from(self.span.bytes()).ok()?];
                for segment in several {
                    let (from, from_end) = place(segment.offset, segment.file_bytes)?;
                    let distance = segment.gpa.bytes() - self.span.start.bytes();
                    let (to, to_end) = place(distance, segment.file_bytes)?;
                    pages
                        .get_mut(to..to_end)?
                        .copy_from_slice(file.get(from..from_end)?);
                }
                pages.into()
            }
        };
        let contents = Contents::Bytes(bytes);
        Extent::new(self.span.start, PageType::Normal, contents, self.name())
    }

    fn name(&self) -> String {
        let numbers: Vec<_> = self
            .segments
            .iter()
            .map(|it| it.index.to_string())
            .collect();
        match numbers.as_slice() {
            [only] => format!("segment {only}"),
            several => format!("segments {}", several.join(", ")),
        }
    }
}

/// First index and the one behind.
fn place(start: u64, bytes: u64) -> Option<(usize, usize)> {
    let start = usize::try_from(start).ok()?;
    Some((start, start.checked_add(usize::try_from(bytes).ok()?)?))
}

/// Pages of segments that have no byte of the file.
fn zeros(segments: &[Segment], clusters: &[Cluster<'_>]) -> Vec<Extent> {
    let mut zeros = Vec::new();
    let mut clusters = clusters.iter().map(|it| it.span).peekable();
    let mut next = Gpa::new(0);
    let mut push = |start: Gpa, end: Gpa| {
        let pages = end.bytes().saturating_sub(start.bytes()) / PAGE_BYTES;
        zeros.extend(Extent::zeros(start, PageType::Zero, pages, "bss"));
    };
    for memory in segments
        .iter()
        .filter_map(|it| Span::of(it.gpa, it.memory_bytes))
    {
        let mut from = memory.start.max(next);
        while let Some(span) = clusters.next_if(|span| span.start < memory.end) {
            push(from, span.start);
            from = from.max(span.end);
        }
        push(from, memory.end);
        next = from.max(memory.end);
    }
    zeros
}
