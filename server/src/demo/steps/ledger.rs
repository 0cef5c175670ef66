//! The ledger, and its comparison with the memory.
//!
//! **Invariant:** changes nothing.

use stagepages_client::{addr::Gpa, v1::LedgerOrder, words};

use crate::demo::{claims::promised, story::Story};

/// Runs that are shown.
const SHOWN: usize = 5;

/// ListInstalledPages, in order of GPA.
pub(in crate::demo) async fn ledger(story: &mut Story<'_, '_>) -> anyhow::Result<()> {
    let listed = story
        .client
        .list_installed_pages(&story.launch, LedgerOrder::Gpa, true)
        .await?;
    let sum: u64 = listed.runs.iter().map(|run| run.pages).sum();
    promised("the pages of all runs", sum, story.counted)?;
    promised("the ledger's pages", listed.installed_pages, story.counted)?;
    let apart = listed
        .runs
        .windows(2)
        .all(|two| two[0].gpa + two[0].pages * 4096 <= two[1].gpa);
    promised("whether no two runs share a page", apart, true)?;

    story.report.step("Read the ledger")?;
    story
        .report
        .asked("ListInstalledPages, in order of GPA, with hashes")?;
    story.report.answer(&format!(
        "OK: {sum} pages in {} runs; the last ones are",
        listed.runs.len()
    ))?;
    for run in &listed.runs[listed.runs.len().saturating_sub(SHOWN)..] {
        let gpa = Gpa::new(run.gpa).to_string();
        story.report.more(&format!(
            "{gpa}: {} pages, {}, installed behind {} others, BLAKE3 {}…",
            run.pages,
            words::page_type(run.page_type),
            run.first_ordinal,
            hex(run.page_hashes.get(..4).unwrap_or_default())
        ))?;
    }
    story.report.why(
        "No kernel keeps this book, so the launch's own process does: which page, as what, with which bytes, in which order. \
         It is what every count comes from.",
    )?;
    Ok(())
}

/// VerifyLaunch.
pub(in crate::demo) async fn verify(story: &mut Story<'_, '_>) -> anyhow::Result<()> {
    let verified = story.client.verify_launch(&story.launch).await?;
    promised("pages that differ", verified.findings_total, 0)?;
    promised("whether ledger and memory agree", verified.consistent, true)?;
    promised(
        "the pages that were checked",
        verified.pages_checked,
        story.counted,
    )?;
    promised(
        "the pages that were hashed anew",
        verified.contents_checked,
        story.counted,
    )?;

    story.report.step("Verify")?;
    story.report.asked("VerifyLaunch")?;
    story.report.answer(&format!(
        "OK: consistent, {} pages checked, {} hashed anew, 0 differ; no page exists that the ledger lacks",
        verified.pages_checked, verified.contents_checked
    ))?;
    story.report.why("The book is held against the memory itself: existence and contents of every page, in both directions.")?;
    Ok(())
}

/// In hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
