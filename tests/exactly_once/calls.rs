//! Launches whose calls are numbered, and answers that are complete.
//!
//! **Invariant:** nothing is asked twice here; a test that wants a repeat says so.
use stagepages_proto::v1::{Launch, OrderingMode, StagePagesResponse};
use stagepages_tests::{Bench, Contents, Extent, PAGE, page, region, spec};

/// Pages of the launches that [`sequenced`] makes.
const PAGES: u64 = 1024;

/// Creates a SEQUENCED launch with one region of 4 MiB at address 0.
pub(crate) async fn sequenced(bench: &Bench, id: &str) -> Launch {
    let mut spec = spec(bench.platform, [region(page(0), PAGES * PAGE)]);
    spec.ordering = OrderingMode::Sequenced.into();
    bench.api.create(id, spec).await.unwrap()
}

/// Asserts a complete install of `pages` pages from page `first` on.
#[track_caller]
pub(crate) fn assert_complete(answer: &StagePagesResponse, first: u64, pages: u64) {
    let whole = StagePagesResponse {
        installed_pages: pages,
        next_gpa: page(first + pages).get(),
        stop: None,
    };
    assert_eq!(*answer, whole);
}

/// Extents of four pages each, from these pages on.
pub(crate) fn extents<const N: usize>(random: &mut Contents, firsts: [u64; N]) -> [Extent; N] {
    firsts.map(|first| Extent::normal(page(first), random.pages(4)))
}
