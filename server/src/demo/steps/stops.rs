//! Meeting pages that exist: a short count, the same bytes again, other bytes.
//!
//! **Invariant:** each extent here meets the image, and none changes a page of it.

use anyhow::Context as _;
use bytes::Bytes;
use stagepages_client::v1::PageType;

use crate::demo::{
    claims::{ALREADY_INSTALLED, promised},
    layout::FRESH,
    story::{Story, pages},
};

/// Pages of the image that are staged once more.
const AGAIN: usize = 4;

/// Fresh pages, then the image's first ones with other bytes.
pub(in crate::demo) async fn short_count(story: &mut Story<'_, '_>) -> anyhow::Result<()> {
    let (gpa, image) = (story.layout.high.gpa, story.layout.image);
    let over = complement(&story.first_pages(AGAIN));
    let fresh = usize::try_from(FRESH)? * 4096;
    let data = Bytes::from([vec![0xd6; fresh], over.to_vec()].concat());
    let asked = pages(&data);
    let answer = story.stage(gpa, data).await?;
    let stop = answer
        .stop
        .context("a short count should name the page that stopped it")?;
    promised("the short count", answer.installed_pages, FRESH)?;
    promised(
        "the GPA behind the last page",
        answer.next_gpa,
        image.bytes(),
    )?;
    promised("the page that stopped the call", stop.gpa, image.bytes())?;
    promised("that page's type", stop.page_type(), PageType::Normal)?;
    promised("whether that page is identical", stop.identical, false)?;
    story.count(
        "pages across the image's start",
        asked,
        answer.installed_pages,
        "OK, a short count",
    );

    story.report.step("A short count")?;
    story.report.asked(&format!(
        "StagePages: {asked} pages at GPA {gpa}; all but the first {FRESH} exist already"
    ))?;
    story.report.answer(&format!(
        "OK: installed_pages {}, stopped by the page at GPA {image} (NORMAL, identical: false)",
        answer.installed_pages
    ))?;
    story.report.why(
        "Pages go in one by one, in ascending order, and the first that exists stops the call. What was installed before it \
         stays: nothing takes a measured page back.",
    )?;
    Ok(())
}

/// As a client does that lost the answer to its first try.
pub(in crate::demo) async fn same_bytes(story: &mut Story<'_, '_>) -> anyhow::Result<()> {
    let data = story.first_pages(AGAIN);
    let asked = pages(&data);
    let refused = ALREADY_INSTALLED.promised(story.stage(story.layout.image, data).await)?;
    promised(
        "the count of a refused call",
        refused.installed_pages(),
        Some(0),
    )?;
    promised(
        "whether the page is identical",
        refused.identical(),
        Some(true),
    )?;
    promised(
        "how many pages are identical",
        refused.identical_pages(),
        Some(asked),
    )?;
    story.count(
        "the same bytes again",
        asked,
        0,
        "ALREADY_EXISTS, identical",
    );

    story.report.step("The same bytes again")?;
    story.report.asked(&format!(
        "StagePages: the image's first {asked} pages, once more, as after a lost answer"
    ))?;
    story.report.answer(&format!(
        "{ALREADY_INSTALLED}: installed_pages 0, identical true, identical_pages {asked}"
    ))?;
    story.report.why(
        "A count of zero is no success: it is ALREADY_EXISTS. `identical` says that the pages hold just these bytes, so a \
         client that retries knows that its work is done.",
    )?;
    Ok(())
}

/// As a client does that is about to spoil another's launch.
pub(in crate::demo) async fn other_bytes(story: &mut Story<'_, '_>) -> anyhow::Result<()> {
    let image = story.layout.image;
    let data = complement(&story.first_pages(1));
    let asked = pages(&data);
    let refused = ALREADY_INSTALLED.promised(story.stage(image, data).await)?;
    promised(
        "the count of a refused call",
        refused.installed_pages(),
        Some(0),
    )?;
    promised(
        "the page that stopped it",
        refused.gpa().map(|gpa| gpa.bytes()),
        Some(image.bytes()),
    )?;
    promised(
        "whether the page is identical",
        refused.identical(),
        Some(false),
    )?;
    story.count("other bytes", asked, 0, "ALREADY_EXISTS, different");

    story.report.step("Other bytes")?;
    story.report.asked(&format!(
        "StagePages: other contents for the page at GPA {image}"
    ))?;
    story.report.answer(&format!(
        "{ALREADY_INSTALLED}: installed_pages 0, identical false"
    ))?;
    story.report.why(
        "The same status, told apart by one word: this is a conflict. There is no overwrite and no force; for other contents \
         one aborts the launch and creates a new one.",
    )?;
    Ok(())
}

/// Bytes none of which is as it was.
fn complement(bytes: &Bytes) -> Bytes {
    bytes.iter().map(|byte| !byte).collect()
}
