//! The loop that stages one source: cut, call, judge, count.
//!
//! **Invariant:** knows neither connections nor launches; it makes one call at a time, and the next one only behind what is settled.

use stagepages_proto::v1::StagePagesResponse;

use super::{
    Pages, Progress, Source, StageEnd, StageReport,
    content::Content,
    cut::Cuts,
    judge::{End, Verdict, judge},
};
use crate::StagepagesError;

/// Makes one StagePages call. A trait, so that the loop runs against a model in its tests.
pub(super) trait Call {
    /// Stages `pages`, with these contents.
    fn stage(
        &mut self,
        pages: Pages,
        content: Content,
    ) -> impl Future<Output = Result<StagePagesResponse, StagepagesError>> + Send;
}

/// Stages `source` along `cuts`, which cover `extent`.
pub(super) async fn run(
    extent: Pages,
    cuts: Cuts,
    mut source: Source<'_>,
    mut call: impl Call,
    mut progress: impl FnMut(Progress),
) -> StageReport {
    let mut report = StageReport::of_nothing_yet(extent);
    for cut in cuts {
        let content = match source.take(cut.count).await {
            Ok(content) => content,
            Err(error) => {
                report.end = StageEnd::Unreadable(error);
                return report;
            }
        };
        let mut left = Some((cut, content));
        while let Some((pages, content)) = left.take() {
            let verdict = judge(pages, call.stage(pages, content.clone()).await);
            let settled = verdict.installed + verdict.identical;
            let goes_on = report.count(pages, verdict);
            progress(Progress {
                installed: report.installed_pages,
                identical: report.identical_pages,
                total: report.total_pages,
            });
            if !goes_on {
                return report;
            }
            left = pages
                .behind(settled)
                .map(|rest| (rest, content.behind(settled)));
        }
    }
    report
}

impl StageReport {
    /// Before the first call; complete only once every call was made.
    pub(super) fn of_nothing_yet(extent: Pages) -> Self {
        Self {
            total_pages: extent.count,
            installed_pages: 0,
            identical_pages: 0,
            next_gpa: extent.gpa,
            calls: 0,
            in_doubt: None,
            end: StageEnd::Complete,
        }
    }

    /// Adds a call's verdict; false if it was the last.
    fn count(&mut self, pages: Pages, verdict: Verdict) -> bool {
        self.calls += 1;
        self.installed_pages += verdict.installed;
        self.identical_pages += verdict.identical;
        // Inside the extent, whose end was checked when it was cut.
        self.next_gpa = pages
            .gpa
            .plus_pages(verdict.installed + verdict.identical)
            .unwrap_or(self.next_gpa);
        self.end = match verdict.end {
            None => return true,
            Some(End::Conflict(conflict)) => StageEnd::Conflict(conflict),
            Some(End::Refused(error)) => StageEnd::Failed(error),
            Some(End::InDoubt(error)) => {
                self.in_doubt = Some(pages);
                StageEnd::Failed(error)
            }
        };
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use stagepages_proto::v1::{PageType, StageStop};
    use tonic::{Code, Status};

    use super::*;
    use crate::{addr::Gpa, images::ImageName, reason};

    /// A daemon in ten lines: pages by address, each the first byte of what was installed there.
    #[derive(Default)]
    struct Model {
        pages: BTreeMap<u64, u8>,
        installed: u64,
        /// The call, counted from one, whose answer is lost after it was applied.
        lose: Option<u64>,
        calls: u64,
    }

    impl Call for &mut Model {
        async fn stage(
            &mut self,
            pages: Pages,
            content: Content,
        ) -> Result<StagePagesResponse, StagepagesError> {
            self.calls += 1;
            let wanted: Vec<u8> = match &content {
                Content::Data(data) => data.chunks(4096).map(|page| page[0]).collect(),
                Content::LengthOnly => vec![0; usize::try_from(pages.count).unwrap()],
                // Page n of the model's image is n + 1.
                Content::Image { offset, .. } => (0..pages.count)
                    .map(|nth| u8::try_from(offset / 4096 + nth + 1).unwrap())
                    .collect(),
            };
            assert_eq!(wanted.len() as u64, pages.count);
            let addresses: Vec<u64> = (0..pages.count)
                .map(|n| pages.gpa.bytes() + n * 4096)
                .collect();
            let fresh = addresses
                .iter()
                .take_while(|gpa| !self.pages.contains_key(gpa))
                .count();
            self.pages.extend(
                addresses
                    .iter()
                    .copied()
                    .zip(wanted.iter().copied())
                    .take(fresh),
            );
            self.installed += fresh as u64;
            if self.lose == Some(self.calls) {
                return Err(Status::unavailable("connection reset").into());
            }
            let alike = (fresh..wanted.len())
                .take_while(|n| self.pages.get(&addresses[*n]) == Some(&wanted[*n]))
                .count() as u64;
            let stop = addresses.get(fresh).map(|gpa| StageStop {
                gpa: *gpa,
                page_type: PageType::Normal.into(),
                identical: alike > 0,
                identical_pages: alike,
            });
            match (fresh, stop) {
                (0, Some(stop)) => Err(StagepagesError::refused_here(
                    Code::AlreadyExists,
                    reason::ALREADY_INSTALLED,
                    "already installed".into(),
                    [
                        ("gpa", format!("{:#x}", stop.gpa)),
                        ("identical", stop.identical.to_string()),
                        ("identical_pages", alike.to_string()),
                    ],
                )),
                (_, stop) => Ok(StagePagesResponse {
                    installed_pages: fresh as u64,
                    next_gpa: pages.gpa.bytes() + fresh as u64 * 4096,
                    stop,
                }),
            }
        }
    }

    /// Ten pages at 0x10000, holding 1, 2, …, 10, staged four a call.
    async fn stage(model: &mut Model) -> (StageReport, Vec<Progress>) {
        let image: Vec<u8> = (1..=10).flat_map(|n| [n; 4096]).collect();
        let extent = Pages {
            gpa: Gpa::new(0x10000),
            count: 10,
        };
        let mut seen = Vec::new();
        let cuts = Cuts::new(extent, 4);
        let report = run(
            extent,
            cuts,
            Source::data(image.as_slice(), image.len() as u64).unwrap(),
            model,
            |now| seen.push(now),
        )
        .await;
        (report, seen)
    }

    fn holding(pages: &[(u64, u8)]) -> Model {
        Model {
            pages: pages
                .iter()
                .map(|(n, byte)| (0x10000 + n * 4096, *byte))
                .collect(),
            ..Model::default()
        }
    }

    fn counts(report: &StageReport) -> (u64, u64, u64) {
        (
            report.installed_pages,
            report.identical_pages,
            report.next_gpa.bytes(),
        )
    }

    #[tokio::test]
    async fn a_source_into_nothing_is_installed_whole() {
        let mut model = Model::default();
        let (report, seen) = stage(&mut model).await;
        assert!(report.is_complete());
        assert_eq!((counts(&report), report.calls), ((10, 0, 0x1a000), 3));
        assert_eq!(
            seen.iter().map(|now| now.installed).collect::<Vec<_>>(),
            [4, 8, 10]
        );
        assert!(model.pages.values().copied().eq(1..=10));
    }

    #[tokio::test]
    async fn staged_again_every_page_is_identical_and_none_is_counted_twice() {
        let mut model = Model::default();
        let (first, _) = stage(&mut model).await;
        let (again, _) = stage(&mut model).await;
        assert!(first.is_complete() && again.is_complete());
        assert_eq!(counts(&again), (0, 10, 0x1a000));
        assert_eq!(
            first.installed_pages + again.installed_pages,
            model.installed
        );
    }

    #[tokio::test]
    async fn scattered_identical_pages_are_stepped_over() {
        let mut model = holding(&[(0, 1), (2, 3), (3, 4), (6, 7), (9, 10)]);
        let (report, _) = stage(&mut model).await;
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(counts(&report), (5, 5, 0x1a000));
        assert_eq!(report.installed_pages, model.installed);
        assert!(model.pages.values().copied().eq(1..=10));
    }

    #[tokio::test]
    async fn a_differing_page_is_a_conflict_wherever_it_lies_and_what_lies_before_is_counted() {
        for at in 0..10 {
            let mut model = holding(&[(at, 99)]);
            let (report, _) = stage(&mut model).await;
            assert!(
                matches!(report.end, StageEnd::Conflict(page) if page.gpa.bytes() == 0x10000 + at * 4096),
                "{report:?}"
            );
            assert_eq!(counts(&report), (at, 0, 0x10000 + at * 4096));
            assert_eq!(
                (report.installed_pages, report.in_doubt),
                (model.installed, None)
            );
        }
    }

    #[tokio::test]
    async fn a_conflict_behind_identical_pages_is_found() {
        let mut model = holding(&[(1, 2), (2, 3), (3, 99)]);
        let (report, _) = stage(&mut model).await;
        assert!(matches!(report.end, StageEnd::Conflict(page) if page.gpa.bytes() == 0x13000));
        assert_eq!(counts(&report), (1, 2, 0x13000));
    }

    #[tokio::test]
    async fn the_pages_of_a_lost_answer_are_in_doubt_and_a_repeat_settles_them() {
        let mut model = Model {
            lose: Some(2),
            ..Model::default()
        };
        let (report, _) = stage(&mut model).await;
        assert!(matches!(report.end, StageEnd::Failed(_)));
        assert_eq!(counts(&report), (4, 0, 0x14000));
        assert_eq!(
            report.in_doubt,
            Some(Pages {
                gpa: Gpa::new(0x14000),
                count: 4
            })
        );
        let (again, _) = stage(&mut model).await;
        assert!(again.is_complete());
        assert_eq!(counts(&again), (2, 8, 0x1a000));
    }

    #[tokio::test]
    async fn a_source_that_ends_early_keeps_the_count_of_what_was_staged() {
        let mut model = Model::default();
        let extent = Pages {
            gpa: Gpa::new(0),
            count: 2,
        };
        let short = [1; 4096 + 1];
        let report = run(
            extent,
            Cuts::new(extent, 1),
            Source::data(&short[..], 8192).unwrap(),
            &mut model,
            |_| {},
        )
        .await;
        assert!(matches!(report.end, StageEnd::Unreadable(_)));
        assert_eq!((counts(&report), model.installed), ((1, 0, 0x1000), 1));
    }

    #[tokio::test]
    async fn a_slice_that_met_identical_pages_goes_on_behind_them() {
        let mut model = holding(&[(0, 1), (2, 3), (3, 4), (6, 7), (9, 10)]);
        let extent = Pages {
            gpa: Gpa::new(0x10000),
            count: 10,
        };
        let name = ImageName::of_digest([7; 32]);
        let source = Source::image(name, 0, 10 * 4096).unwrap();
        let report = run(extent, Cuts::new(extent, 4), source, &mut model, |_| {}).await;
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(counts(&report), (5, 5, 0x1a000));
        assert!(model.pages.values().copied().eq(1..=10));
    }

    #[tokio::test]
    async fn a_length_alone_sends_no_bytes() {
        let mut model = Model::default();
        let extent = Pages {
            gpa: Gpa::new(0),
            count: 5,
        };
        let report = run(
            extent,
            Cuts::new(extent, 3),
            Source::length_only(5 * 4096).unwrap(),
            &mut model,
            |_| {},
        )
        .await;
        assert!(report.is_complete());
        assert!(model.pages.values().all(|byte| *byte == 0));
        assert_eq!(counts(&report), (5, 0, 0x5000));
    }
}
