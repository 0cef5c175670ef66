//! The plan, cut and read piece by piece.
//!
//! Where a session cuts depends on the plan and the daemon's limits only, so that a restarted session gives its calls the same names.
//!
//! **Invariant:** reads a piece's contents only when it is asked for it, and holds none of them itself.

use std::{io, vec};

use stagepages_proto::v1::PageType;

use super::{Part, SessionName, held::Held, name::CutName, piece::Piece};
use crate::stage::{Pages, Source, cut::Cuts, limits::CallLimits};

/// Pages of one call with bytes, whatever the daemon would take: 2 MiB.
pub(super) const MOST_DATA_PAGES: u64 = 512;

pub(super) struct Feed<'a> {
    session: SessionName,
    held: Held,
    limits: CallLimits,
    parts: vec::IntoIter<Part<'a>>,
    current: Option<(PageType, Cuts, Source<'a>)>,
}

impl<'a> Feed<'a> {
    /// Of `parts`, in calls of what `limits` allow.
    pub(super) fn new(
        session: SessionName,
        held: Held,
        limits: CallLimits,
        parts: Vec<Part<'a>>,
    ) -> Self {
        Self {
            session,
            held,
            limits,
            parts: parts.into_iter(),
            current: None,
        }
    }

    /// The next piece, in the order of the plan.
    pub(super) async fn next(&mut self) -> io::Result<Option<Piece>> {
        loop {
            if let Some((page_type, cuts, source)) = &mut self.current
                && let Some(cut) = cuts.next()
            {
                let content = source.take(cut.count).await?;
                let name = CutName::new(&self.session, cut, *page_type, &content);
                let asked_first = self.session.is_lasting() && self.held.any_of(cut);
                return Ok(Some(Piece::new(
                    name,
                    *page_type,
                    cut,
                    content,
                    asked_first,
                )));
            }
            let Some(part) = self.parts.next() else {
                return Ok(None);
            };
            let extent = part.pages();
            let longest = self.limits.longest(part.page_type, &part.source);
            self.current = Some((part.page_type, Cuts::new(extent, longest), part.source));
        }
    }
}

impl Part<'_> {
    /// Where it goes.
    pub(super) fn pages(&self) -> Pages {
        Pages {
            gpa: self.gpa,
            count: self.source.pages(),
        }
    }
}

#[cfg(test)]
mod tests {
    use stagepages_proto::v1::Limits;

    use super::*;
    use crate::{addr::Gpa, images::ImageName};

    fn part(gpa: u64, page_type: PageType, source: Source<'_>) -> Part<'_> {
        Part {
            gpa: Gpa::new(gpa),
            page_type,
            source,
        }
    }

    #[tokio::test]
    async fn parts_come_cut_and_in_their_order() {
        let bytes = vec![7; 5 * 4096];
        let parts = vec![
            part(
                0x10000,
                PageType::Normal,
                Source::data(bytes.as_slice(), 5 * 4096).unwrap(),
            ),
            part(
                0x0,
                PageType::Cpuid,
                Source::data(bytes.as_slice(), 2 * 4096).unwrap(),
            ),
            part(
                0x20000,
                PageType::Unmeasured,
                Source::image(ImageName::of_digest([7; 32]), 0x1000, 4 * 4096).unwrap(),
            ),
            part(0x8000, PageType::Zero, Source::length_only(0x3000).unwrap()),
        ];
        let held = Held::new(&[stagepages_proto::v1::InstalledRun {
            gpa: 0x9000,
            pages: 1,
            ..Default::default()
        }]);
        let limits = Limits {
            max_data_bytes: 2 * 4096,
            max_slice_bytes: 3 * 4096,
            ..Limits::default()
        };
        let limits = CallLimits::new(Some(&limits), MOST_DATA_PAGES).unwrap();
        let mut feed = Feed::new("s".parse().unwrap(), held, limits, parts);
        let mut seen = Vec::new();
        while let Some(piece) = feed.next().await.unwrap() {
            seen.push((piece.rest.gpa.bytes(), piece.rest.count, piece.ask));
        }
        assert_eq!(
            seen,
            [
                (0x10000, 2, false),
                (0x12000, 2, false),
                (0x14000, 1, false),
                (0x0, 1, false),
                (0x1000, 1, false),
                (0x20000, 3, false),
                (0x23000, 1, false),
                (0x8000, 3, true)
            ]
        );
    }
}
