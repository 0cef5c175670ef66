//! Creating the launch, and staging the image into it.
//!
//! **Invariant:** the image is staged where firmware belongs, its end at 4 GiB.

use anyhow::Context as _;
use stagepages_client::{
    LaunchRef,
    addr::PAGE_BYTES,
    stage::{Source, StageEnd, Stager},
    v1::{LaunchSpec, LaunchState, PageType},
};

use crate::demo::{
    claims::promised,
    layout::behind,
    story::{Story, pages},
};

/// Parts in which the image is staged, so that its progress shows.
const PARTS: usize = 8;

/// CreateLaunch.
pub(in crate::demo) async fn create(story: &mut Story<'_, '_>) -> anyhow::Result<()> {
    let (low, high) = (story.layout.low, story.layout.high);
    let spec = LaunchSpec {
        platform: story.platform.into(),
        regions: vec![low.into(), high.into()],
        ..LaunchSpec::default()
    };
    let launch = story
        .client
        .create_launch(Some(story.launch.id()), spec)
        .await?;
    promised(
        "the new launch's state",
        launch.state(),
        LaunchState::Created,
    )?;
    promised("the new launch's pages", launch.installed_pages, 0)?;
    promised(
        "whether the launch is confidential",
        launch.confidential,
        false,
    )?;
    // From here on every call names the uid as well.
    story.launch = LaunchRef::from(&launch);

    story.report.step("Create a launch")?;
    story.report.asked(&format!(
        "CreateLaunch {} with memory {low} and {high}",
        story.launch
    ))?;
    story.report.answer(&format!(
        "OK: state CREATED, 0 pages installed, uid {}, held by process {}",
        launch.uid, launch.host_pid
    ))?;
    story.report.why(
        "A VM lives and dies with the process that made it. So each launch has a process of its own, and if the daemon or \
         another launch dies, this one does not.",
    )?;
    Ok(())
}

/// The whole image, by the client library, which cuts it into StagePages calls.
pub(in crate::demo) async fn stage_image(story: &mut Story<'_, '_>) -> anyhow::Result<()> {
    let total = story.image.pages();
    let (gpa, image) = (story.layout.image, story.image.bytes().clone());
    story.report.step("Stage the image")?;
    story.report.asked(&format!(
        "StagePages: {total} NORMAL pages at GPA {gpa}, in parts"
    ))?;
    story.report.progress()?;

    let stager = Stager::open(&story.client, &story.launch).await?;
    let part = image.len().div_ceil(PARTS).next_multiple_of(4096);
    let (mut installed, mut calls) = (0, 0);
    for part in image.chunks(part) {
        let bytes = u64::try_from(part.len())?;
        let at = behind(gpa, installed)?;
        let report = stager
            .stage(at, PageType::Normal, Source::data(part, bytes)?, |_| {})
            .await;
        if let StageEnd::Failed(error) = report.end {
            return Err(error).context("staging the image");
        }
        promised(
            "the count of a part of the image",
            report.installed_pages,
            bytes / PAGE_BYTES,
        )?;
        installed += report.installed_pages;
        calls += report.calls;
        story.report.so_far(installed)?;
    }
    story.report.progress_done(total)?;
    promised("the count of the whole image", installed, pages(&image))?;
    let launch = story.client.get_launch(&story.launch).await?;
    promised("the launch's state", launch.state(), LaunchState::Staging)?;
    story.count("the image", total, installed, "OK");

    story.report.answer(&format!(
        "OK: {installed} pages installed in {calls} calls; the launch is now STAGING"
    ))?;
    story.report.why(
        "The image ends at 4 GiB, below which an x86 processor fetches its first instruction. The count is of pages that \
         were installed, never of what was asked for.",
    )?;
    Ok(())
}
