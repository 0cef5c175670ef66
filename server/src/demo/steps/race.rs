//! Two racers, each on a connection of its own, want the same fresh pages with different bytes.
//!
//! ```text
//!  a window of 16 pages   ................
//!  the first racer wants  ############          both ask at the same moment; whoever is stopped
//!  the second wants           ############      goes on behind the page that stopped it
//! ```
//!
//! **Invariant:** a racer claims a page only if an answer counted it.

use bytes::Bytes;
use stagepages_client::{Client, LaunchRef, addr::Gpa};
use tokio::sync::Barrier;

use crate::demo::{
    claims::{ALREADY_INSTALLED, promised},
    layout::behind,
    story::{Story, connect, extent},
};

/// Rounds of the race, each for a window of its own.
const WINDOWS: u64 = 32;
/// Pages of a window.
const WINDOW: u64 = 16;
/// Pages that each racer wants of it; the middle is wanted by both.
const WANTED: u64 = 12;

/// One of the two.
struct Racer {
    client: Client,
    launch: LaunchRef,
    start: Gpa,
    /// Page of each window with which it begins.
    first: u64,
    /// What its pages are filled with, behind their address.
    fill: u8,
    /// First page and number of pages of each extent that was counted for it.
    claims: Vec<(Gpa, u64)>,
    short: u64,
    refused: u64,
}

/// The race, and a look at who won what.
pub(in crate::demo) async fn race(story: &mut Story<'_, '_>) -> anyhow::Result<()> {
    let mut one = Racer::new(story, 0, b'1').await?;
    let mut other = Racer::new(story, WINDOW - WANTED, b'2').await?;
    let together = Barrier::new(2);
    tokio::try_join!(one.run(&together), other.run(&together))?;

    let (mine, theirs) = (one.counted(), other.counted());
    promised(
        "the sum of both racers' counts",
        mine + theirs,
        WINDOWS * WINDOW,
    )?;
    let launch = story.client.get_launch(&story.launch).await?;
    promised(
        "the launch's pages",
        launch.installed_pages,
        story.counted + mine + theirs,
    )?;
    one.holds_its_pages().await?;
    other.holds_its_pages().await?;
    story.count(
        "a race, the first client",
        WINDOWS * WANTED,
        mine,
        "OK, short counts, ALREADY_EXISTS",
    );
    story.count(
        "a race, the second client",
        WINDOWS * WANTED,
        theirs,
        "OK, short counts, ALREADY_EXISTS",
    );

    story.report.step("Two racers")?;
    story.report.asked(&format!(
        "StagePages from two clients at once, {WINDOWS} rounds: each wants {WANTED} of {WINDOW} fresh pages with bytes of its \
         own, {} of them wanted by both",
        2 * WANTED - WINDOW
    ))?;
    story
        .report
        .answer(&format!("first client:  {}", one.score()))?;
    story
        .report
        .more(&format!("second client: {}", other.score()))?;
    story.report.more(&format!(
        "{mine} + {theirs} = {} distinct pages; asked again, every page answers \"identical\" to the client that counted it",
        WINDOWS * WINDOW
    ))?;
    story.report.why(
        "For each page exactly one wins, and its bytes are there. Nobody has to lock anything: the counts say who did what, \
         and no page is counted by both.",
    )?;
    Ok(())
}

impl Racer {
    async fn new(story: &Story<'_, '_>, first: u64, fill: u8) -> anyhow::Result<Self> {
        Ok(Self {
            client: connect(&story.endpoint).await?,
            launch: story.launch.clone(),
            start: story.layout.race,
            first,
            fill,
            claims: Vec::new(),
            short: 0,
            refused: 0,
        })
    }

    /// Starts each round together with the other, and asks until nothing that it wants is left.
    async fn run(&mut self, together: &Barrier) -> anyhow::Result<()> {
        for window in 0..WINDOWS {
            together.wait().await;
            let begin = window * WINDOW + self.first;
            let end = begin + WANTED;
            let mut next = begin;
            while next < end {
                next = self.ask(next, end).await?;
            }
        }
        Ok(())
    }

    /// Asks for the pages from `next` to `end`; the answer is the first page that is not settled.
    async fn ask(&mut self, next: u64, end: u64) -> anyhow::Result<u64> {
        let gpa = behind(self.start, next)?;
        let data = self.contents(gpa, end - next)?;
        match self
            .client
            .stage_pages(extent(&self.launch, gpa, data))
            .await
        {
            Ok(answer) => {
                let counted = answer.installed_pages;
                promised(
                    "whether a success counts a page",
                    counted > 0 && counted <= end - next,
                    true,
                )?;
                self.claims.push((gpa, counted));
                if answer.stop.is_none() {
                    promised("a count that is not short", counted, end - next)?;
                    return Ok(end);
                }
                self.short += 1;
                Ok(next + counted + 1)
            }
            Err(refusal) => {
                let refusal = ALREADY_INSTALLED.promised::<()>(Err(refusal))?;
                promised(
                    "whether the other's page is identical",
                    refusal.identical(),
                    Some(false),
                )?;
                self.refused += 1;
                Ok(next + 1)
            }
        }
    }

    /// Asks again for what was counted: every page must hold this racer's bytes.
    async fn holds_its_pages(&self) -> anyhow::Result<()> {
        for (gpa, counted) in self.claims.iter().copied() {
            let data = self.contents(gpa, counted)?;
            let answer = self
                .client
                .stage_pages(extent(&self.launch, gpa, data))
                .await;
            let refused = ALREADY_INSTALLED.promised(answer)?;
            promised(
                "how many pages are their counter's",
                refused.identical_pages(),
                Some(counted),
            )?;
        }
        Ok(())
    }

    /// Pages of which no two are alike, neither of one racer nor of both.
    fn contents(&self, gpa: Gpa, pages: u64) -> anyhow::Result<Bytes> {
        let mut contents = Vec::new();
        for page in 0..pages {
            contents.extend(behind(gpa, page)?.bytes().to_le_bytes());
            contents.resize(contents.len().next_multiple_of(4096), self.fill);
        }
        Ok(contents.into())
    }

    fn counted(&self) -> u64 {
        self.claims.iter().map(|(_, counted)| counted).sum()
    }

    fn score(&self) -> String {
        format!(
            "{} pages in {} answers, {} of them short; {} times ALREADY_EXISTS",
            self.counted(),
            self.claims.len(),
            self.short,
            self.refused
        )
    }
}
