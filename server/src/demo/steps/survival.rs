//! SIGKILL for the daemon, in the middle of staging.
//!
//! **Invariant:** the next daemon is asked only for what the first one answered already, and then for more.

use anyhow::ensure;
use bytes::Bytes;
use stagepages_client::v1::StagePagesRequest;

use crate::demo::{
    claims::promised,
    layout::behind,
    story::{Story, connect, extent, pages},
};

/// Pages that are staged before, and again behind it.
const PAGES: usize = 4;

/// Stages, kills, looks, asks again, and goes on.
pub(in crate::demo) async fn survival(story: &mut Story<'_, '_>) -> anyhow::Result<()> {
    let data = Bytes::from(vec![0xd7; PAGES * 4096]);
    let asked = pages(&data);
    let call = StagePagesRequest {
        request_id: "before".into(),
        ..extent(&story.launch, story.layout.survival, data.clone())
    };
    let first = story.client.stage_pages(call.clone()).await?;
    promised("the count before", first.installed_pages, asked)?;
    let before = story.client.get_launch(&story.launch).await?;

    let killed = story.daemon.kill().await?;
    let next = story.daemon.pid().await?;
    promised("whether it is another process", killed != next, true)?;
    story.client = connect(&story.endpoint).await?;

    let after = story.client.get_launch(&story.launch).await?;
    promised("the launch's state", after.state(), before.state())?;
    promised("its pages", after.installed_pages, before.installed_pages)?;
    promised("its process", after.host_pid, before.host_pid)?;
    ensure!(
        after.uid == before.uid && after.launch_digest == before.launch_digest,
        "a promise is broken: uid and digest should be as they were, and the launch is {after:?}"
    );
    let again = story.client.stage_pages(call).await?;
    ensure!(
        again == first,
        "a promise is broken: the repeated call should be answered {first:?}, and is {again:?}"
    );
    let behind = behind(story.layout.survival, asked)?;
    let more = story.stage(behind, data).await?;
    promised("the count behind", more.installed_pages, asked)?;
    let counted = first.installed_pages + more.installed_pages;
    let launch = story.client.get_launch(&story.launch).await?;
    promised(
        "the launch's pages",
        launch.installed_pages,
        before.installed_pages + more.installed_pages,
    )?;
    story.count("around the daemon's death", 2 * asked, counted, "OK");

    story.report.step("Kill the daemon")?;
    story.report.asked(&format!(
        "StagePages: {asked} pages with a request id; SIGKILL for the daemon, process {}; then the same call again, and {asked} pages more",
        killed.as_raw_nonzero()
    ))?;
    story.report.answer(&format!(
        "OK: {asked} pages; from the next daemon, process {}: the same launch with the same {} pages in the same process {}; the \
         repeated call gets its first answer and installs nothing; the next {asked} pages go in",
        next.as_raw_nonzero(),
        before.installed_pages,
        before.host_pid
    ))?;
    story.report.why(
        "The daemon holds nothing that a launch needs, so it may crash, or be upgraded, under load. Pages, counts and answers are \
         with the launch's own process, which the next daemon finds.",
    )?;
    Ok(())
}
