//! A second launch, whose guest runs and says what it finds in its own memory.
//!
//! **Invariant:** what the guest has to print is computed from what was staged, before it is started.

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use stagepages_client::{
    FinishArgs, LaunchRef,
    console::{Console, Event},
    session::RetryPolicy,
    v1::{ConsolePort, Launch, LaunchSpec, LaunchState, StopReason},
    words,
};
use tokio::time::timeout;

use crate::demo::{
    claims::{UNSUPPORTED_OPERATION, promised},
    guest::{IMAGE, MEMORY, TEXT, image, vcpu},
    story::{PATIENCE, Story, extent, pages},
};

/// Stages a guest and starts it; the answer is the number of pages on its record.
pub(in crate::demo) async fn guest(story: &mut Story<'_, '_>) -> anyhow::Result<u64> {
    let (image, line) = image()?;
    let asked = pages(&image);
    let launch = finished(story, image).await?;
    promised("the guest's pages", launch.installed_pages, asked)?;
    story.count("a tiny guest", asked, launch.installed_pages, "OK");

    story.report.step("Run a guest")?;
    story.report.asked(&format!(
        "CreateLaunch with one vCPU in 64-bit mode; StagePages: {asked} pages at GPA {IMAGE}: code, a text, page tables; FinishLaunch; \
         StartLaunch"
    ))?;
    let name = LaunchRef::from(&launch);
    if story.runs_guests {
        run(story, &name, &line).await?;
    } else {
        let refused = UNSUPPORTED_OPERATION.promised(story.client.start_launch(&name).await)?;
        story.report.answer(&format!(
            "OK, and then UNIMPLEMENTED / {}",
            refused.message()
        ))?;
        story.report.why(
            "This platform runs no guests, as GetNodeInfo said before; `--platform kvm` does.",
        )?;
    }
    Ok(launch.installed_pages)
}

/// A launch of its own with `image`, FINISHED.
async fn finished(story: &Story<'_, '_>, image: Bytes) -> anyhow::Result<Launch> {
    let spec = LaunchSpec {
        platform: story.platform.into(),
        regions: vec![MEMORY.into()],
        vcpus: 1,
        vcpu_states: vec![vcpu()],
        ..LaunchSpec::default()
    };
    let client = &story.client;
    let launch = client.create_launch(Some("demo-guest"), spec).await?;
    let name = LaunchRef::from(&launch);
    let asked = pages(&image);
    let answer = client.stage_pages(extent(&name, IMAGE, image)).await?;
    promised("the count of the guest", answer.installed_pages, asked)?;
    Ok(client.finish_launch(&name, FinishArgs::default()).await?)
}

/// StartLaunch, AttachConsole, and WatchLaunch to the end.
async fn run(story: &mut Story<'_, '_>, name: &LaunchRef, line: &str) -> anyhow::Result<()> {
    story.client.start_launch(name).await?;
    let printed = timeout(PATIENCE, printed(story, name))
        .await
        .context("the guest does not end its output")??;
    promised("what the guest prints", printed.as_str(), line)?;
    let launch = timeout(PATIENCE, stopped(story, name))
        .await
        .context("the guest does not stop")??;
    promised("the guest's state", launch.state(), LaunchState::Stopped)?;
    let cause = launch.stop.unwrap_or_default();
    promised("why it stopped", cause.reason(), StopReason::ExitCode)?;
    promised("its exit code", cause.exit_code, Some(0))?;

    story
        .report
        .answer("OK, and on its console (AttachConsole):")?;
    story.report.more(&format!("  {printed}"))?;
    story.report.more(&format!(
        "the demo hashes the page that it staged at GPA {TEXT}, most of it random bytes: the same. Then state STOPPED, {}: {}",
        words::stop_reason(cause.reason),
        cause.message
    ))?;
    story.report.why(
        "The process that staged a VM is the one that can run it. The guest saw just what its owner staged, every byte of it.",
    )?;
    Ok(())
}

/// All that the guest writes to its serial port.
async fn printed(story: &Story<'_, '_>, name: &LaunchRef) -> anyhow::Result<String> {
    let retry = RetryPolicy::for_outage(PATIENCE);
    let (mut console, _no_input) = Console::attach(&story.client, name, retry).await?;
    let mut serial = BytesMut::new();
    while let Some(event) = console.next().await? {
        match event {
            Event::Output { port, data, .. } if port == i32::from(ConsolePort::Serial) => {
                serial.extend_from_slice(&data);
            }
            Event::Output { .. } | Event::Missed { .. } | Event::Lost { .. } => {}
        }
    }
    Ok(serial.escape_ascii().to_string())
}

/// The launch as its last watcher's word is.
async fn stopped(story: &Story<'_, '_>, name: &LaunchRef) -> anyhow::Result<Launch> {
    let mut watch = story.client.watch_launch(name).await?;
    let mut last = Launch::default();
    while let Some(launch) = watch.next().await? {
        last = launch;
    }
    Ok(last)
}
