//! The order of the story, and what its steps have in common: the connection, the launch, and the sum of all counts.
//!
//! **Invariant:** `counted` grows by what answers gave, never by what was asked for.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use stagepages_client::{
    Client, Endpoint, LaunchRef, StagepagesError,
    addr::Gpa,
    v1::{self, PageType, StagePagesRequest, StagePagesResponse},
};

use super::{
    daemon::Daemon,
    image::Image,
    layout::Layout,
    platform,
    report::Report,
    steps,
    summary::{Row, Summary},
};
use crate::cli::DemoPlatform;

/// No call of the story takes a hundredth of this.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A launch, and all that was counted.
pub(super) struct Story<'a, 'w> {
    pub(super) report: &'a mut Report<'w>,
    pub(super) daemon: Daemon,
    pub(super) endpoint: Endpoint,
    pub(super) client: Client,
    pub(super) platform: v1::Platform,
    /// Whether that platform does.
    pub(super) runs_guests: bool,
    pub(super) image: Image,
    pub(super) layout: Layout,
    pub(super) launch: LaunchRef,
    /// The sum of all answers.
    pub(super) counted: u64,
    rows: Vec<Row>,
}

/// Connects, chooses a platform, and goes through the steps.
pub(super) async fn tell(
    report: &mut Report<'_>,
    daemon: Daemon,
    asked: Option<DemoPlatform>,
    image: Image,
) -> anyhow::Result<Summary> {
    let endpoint = daemon.endpoint();
    let client = connect(&endpoint).await?;
    let choice = platform::choose(&client.node_info().await?, asked)?;
    report.line("stagepages: a launch from its birth to its end, and a guest that runs")?;
    report.line("")?;
    report.text(
        "A confidential VM is born page by page: each page of its first memory is encrypted, measured and installed by the \
         kernel. stagepages does that for callers anywhere, under one rule: no page is ever installed twice, and every caller \
         learns exactly how many pages it installed.",
    )?;
    report.line("")?;
    report.text(&format!(
        "Platform: {}, {}.",
        steps::about(choice.platform),
        choice.why
    ))?;
    report.text(&format!(
        "Image: {}; {} pages of 4096 bytes.",
        image.what,
        image.pages()
    ))?;

    let layout = Layout::new(image.pages());
    let launch = LaunchRef::from("demo");
    let mut story = Story {
        report,
        daemon,
        endpoint,
        client,
        platform: choice.platform,
        runs_guests: choice.runs_guests,
        image,
        layout,
        launch,
        counted: 0,
        rows: Vec::new(),
    };
    steps::create(&mut story).await?;
    steps::stage_image(&mut story).await?;
    steps::short_count(&mut story).await?;
    steps::same_bytes(&mut story).await?;
    steps::other_bytes(&mut story).await?;
    steps::race(&mut story).await?;
    steps::survival(&mut story).await?;
    steps::ledger(&mut story).await?;
    steps::verify(&mut story).await?;
    steps::finish(&mut story).await?;
    steps::too_late(&mut story).await?;
    let mut installed = steps::abort(&mut story).await?;
    installed += steps::guest(&mut story).await?;
    Ok(Summary {
        rows: story.rows,
        counted: story.counted,
        installed,
    })
}

/// A connection of its own.
pub(super) async fn connect(endpoint: &Endpoint) -> anyhow::Result<Client> {
    let client = Client::connect(endpoint).await;
    Ok(client
        .context("connecting to the service")?
        .with_timeout(Some(PATIENCE)))
}

impl Story<'_, '_> {
    /// Asks for an extent of NORMAL pages.
    pub(super) async fn stage(
        &self,
        gpa: Gpa,
        data: Bytes,
    ) -> Result<StagePagesResponse, StagepagesError> {
        self.client
            .stage_pages(extent(&self.launch, gpa, data))
            .await
    }

    /// Adds a line to the summary, and its count to the sum.
    pub(super) fn count(&mut self, what: &str, asked: u64, counted: u64, answer: &str) {
        self.counted += counted;
        self.rows.push(Row {
            what: what.into(),
            asked,
            counted,
            answer: answer.into(),
        });
    }

    /// The image's first pages, `most` or all of them.
    pub(super) fn first_pages(&self, most: usize) -> Bytes {
        let bytes = self.image.bytes();
        bytes.slice(..bytes.len().min(most * 4096))
    }
}

/// A request for an extent of NORMAL pages.
pub(super) fn extent(launch: &LaunchRef, gpa: Gpa, data: Bytes) -> StagePagesRequest {
    StagePagesRequest {
        name: launch.name().into(),
        uid: launch.uid().into(),
        gpa: gpa.bytes(),
        page_type: PageType::Normal.into(),
        data: Some(data),
        length: None,
        ..StagePagesRequest::default()
    }
}

/// How many pages `bytes` are.
pub(super) fn pages(bytes: &Bytes) -> u64 {
    // No usize is wider than u64.
    u64::try_from(bytes.len() / 4096).unwrap_or(u64::MAX)
}
