//! Finishing the launch, being too late, and ending it.
//!
//! **Invariant:** the launch digest is checked before the platform's own finish, so a wrong one costs nothing.

use bytes::Bytes;
use stagepages_client::{FinishArgs, v1::LaunchState};

use super::ledger::hex;
use crate::demo::{
    claims::{DIGEST_MISMATCH, NO_DIGEST, Refusal, WRONG_STATE, promised},
    story::Story,
};

/// Bytes of a digest that a platform without one is asked to check.
const DIGEST_BYTES: usize = 48;

/// FinishLaunch, first with a digest that cannot be right.
pub(in crate::demo) async fn finish(story: &mut Story<'_, '_>) -> anyhow::Result<()> {
    let digest = story.client.get_launch(&story.launch).await?.launch_digest;
    let has_digest = !digest.is_empty();
    let wrong: Bytes = match has_digest {
        true => digest.iter().map(|byte| !byte).collect(),
        false => vec![0; DIGEST_BYTES].into(),
    };
    let refusal = if has_digest {
        DIGEST_MISMATCH
    } else {
        NO_DIGEST
    };
    refusal.promised(
        story
            .client
            .finish_launch(&story.launch, FinishArgs::expecting(wrong))
            .await,
    )?;
    let launch = story.client.get_launch(&story.launch).await?;
    promised(
        "the launch's state after the refusal",
        launch.state(),
        LaunchState::Staging,
    )?;
    let launch = story
        .client
        .finish_launch(&story.launch, FinishArgs::expecting(digest.clone()))
        .await?;
    promised("the launch's state", launch.state(), LaunchState::Finished)?;
    promised("the launch digest", &launch.launch_digest, &digest)?;
    tell_finish(story, refusal, &digest)
}

fn tell_finish(story: &mut Story<'_, '_>, refusal: Refusal, digest: &[u8]) -> anyhow::Result<()> {
    story.report.step("Finish")?;
    if digest.is_empty() {
        story
            .report
            .asked("FinishLaunch with an expected launch digest, then without")?;
        story.report.answer(&format!(
            "{refusal}, and the launch is as before; then OK: state FINISHED"
        ))?;
        story.report.why(
            "Plain KVM measures nothing, so there is no digest, and a check that cannot be made is refused instead of \
             skipped. `--platform sim` shows the one of SEV-SNP.",
        )?;
    } else {
        story
            .report
            .asked("FinishLaunch with a wrong launch digest, then with the right one")?;
        story.report.answer(&format!(
            "{refusal}, and the launch is as before; then OK: state FINISHED, launch digest"
        ))?;
        story.report.more(&hex(digest))?;
        story.report.why(
            "The digest covers every page, its place, its type and the order. The demo takes it from GetLaunch; the owner of \
             a real VM computes it from the image, and trusts no guest whose digest is another.",
        )?;
    }
    Ok(())
}

/// Staging into a finished launch.
pub(in crate::demo) async fn too_late(story: &mut Story<'_, '_>) -> anyhow::Result<()> {
    let gpa = story.layout.low.gpa;
    let answer = story.stage(gpa, vec![0xd6; 4096].into()).await;
    let refused = WRONG_STATE.promised(answer)?;
    promised(
        "the state that the refusal names",
        refused.launch_state(),
        Some(LaunchState::Finished),
    )?;
    story.count("a page after the finish", 1, 0, "FAILED_PRECONDITION");

    story.report.step("Too late")?;
    story
        .report
        .asked(&format!("StagePages: one more page, at GPA {gpa}"))?;
    story
        .report
        .answer(&format!("{WRONG_STATE}: the launch is FINISHED"))?;
    story
        .report
        .why("What was measured is what runs: nobody adds a page behind the owner's back.")?;
    Ok(())
}

/// AbortLaunch; the answer is the number of pages on its record.
pub(in crate::demo) async fn abort(story: &mut Story<'_, '_>) -> anyhow::Result<u64> {
    let launch = story.client.abort_launch(&story.launch).await?;
    promised("the launch's state", launch.state(), LaunchState::Aborted)?;
    promised(
        "whether its resources are released",
        launch.resources_released,
        true,
    )?;
    promised("its process", launch.host_pid, 0)?;
    promised(
        "the pages on its record",
        launch.installed_pages,
        story.counted,
    )?;
    story.client.delete_launch(&story.launch).await?;

    story.report.step("End")?;
    story.report.asked("AbortLaunch, then DeleteLaunch")?;
    story.report.answer("OK: state ABORTED, its process gone and all its memory with it; then OK: the record is gone too")?;
    story.report.why("There is no other way back: pages are never taken out one by one, a launch ends as a whole.")?;
    Ok(launch.installed_pages)
}
