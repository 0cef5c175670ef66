//! `stagectl diff`: a launch against the image that it should hold, or two images.
//!
//! ```text
//! LAUNCH ─▶ GetLaunch, ListInstalledPages in order of installation ─┐
//! IMAGE ──▶ its plan ───────────────────────────────────────────────┴─▶ stagepages_client::diff ─▶ document, exit status
//! ```
//!
//! Exit status 0 only if pages, settings and digests are the same, contents that are not measured too; with `--prefix` also for a launch that is not finished and
//! whose pages so far are as planned.
//!
//! **Invariant:** asks and compares; changes nothing.

use std::path::Path;

use stagepages_client::{
    LaunchRef,
    diff::{self, Sequence, SequenceError},
    plan::Plan,
    v1::{LaunchSpec, LaunchState, LedgerOrder, Platform},
    words,
};

use super::plan::digest;
use crate::{
    args::image::{Given, ImageArgs},
    cli::Context,
    failure::Failure,
    json::hex,
};

mod document;
mod sentence;
mod text;
mod verdict;

use document::Document;
use verdict::Verdict;

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// The launch: vm-1 or launches/vm-1. With --images another image, which is taken as the plan.
    #[arg(value_name = "LAUNCH")]
    launch: String,
    /// Compare two images. Needs no daemon.
    #[arg(long, conflicts_with_all = ["uid", "prefix"])]
    images: bool,
    /// Be content with a launch that is not finished, if all its pages so far are as planned.
    #[arg(long)]
    prefix: bool,
    /// Refuse unless the launch has this uid, so that a late command never hits a later launch of the same name.
    #[arg(long, value_name = "UID")]
    uid: Option<String>,
    #[command(flatten)]
    image: ImageArgs,
}

/// What the image is compared with.
struct Other {
    /// The launch's name, or the image's.
    name: String,
    /// Of a launch.
    state: Option<LaunchState>,
    spec: LaunchSpec,
    digest: Option<String>,
    /// How many of its pages, the first ones, `digest` covers.
    measured_pages: u64,
    pages: Sequence,
}

impl Diff {
    /// Runs it.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (image, plan, other) = if self.images {
            let first = self.image.open_other(Path::new(&self.launch))?;
            let Given {
                path,
                image,
                options,
            } = self.image.read()?;
            let plan = first.plan(&options)?;
            (
                self.launch,
                plan,
                Other::image(path, &image.plan(&options)?)?,
            )
        } else {
            let Given {
                path,
                image,
                mut options,
            } = self.image.read()?;
            let launch = LaunchRef::from(self.launch.as_str());
            let launch = launch.with_uid(self.uid.unwrap_or_default());
            let other = Other::launch(&launch, context).await?;
            options.platform.get_or_insert(other.spec.platform());
            (path, image.plan(&options)?, other)
        };
        let planned = Sequence::of_plan(&plan).map_err(|error| not_compared(&error))?;
        // Of two platforms neither decides what counts.
        let platform = match plan.platform == other.spec.platform() {
            true => plan.platform,
            false => Platform::Unspecified,
        };
        let comparison = diff::compare(&planned, &other.pages, platform);
        let settings = diff::settings(&plan.spec(), &other.spec);
        let planned_digest = digest(&plan)?.map(|digest| hex(&digest));
        let digests = match other.measured_pages == comparison.installed_pages {
            true => planned_digest.as_ref().zip(other.digest.as_ref()),
            // It is still being computed, or more pages came after it was told.
            false => None,
        };
        let other_digest = digests.is_some_and(|(planned, installed)| planned != installed);
        let verdict = Verdict::of(&comparison, settings.is_empty(), other_digest);
        let document = Document {
            image,
            planned_digest,
            other,
            verdict,
            comparison,
            settings,
        };
        context.output.document(&document)?;
        document.judge(self.prefix)
    }
}

impl Other {
    async fn launch(launch: &LaunchRef, context: &Context) -> Result<Self, Failure> {
        let client = context.client().await?;
        // Before its pages, so that a launch that goes on meanwhile is told as it was, at most with more pages.
        let told = client.get_launch(launch).await?;
        // Under its uid: the pages have to be those of the launch that was told.
        let same = LaunchRef::from(told.name.as_str()).with_uid(told.uid.clone());
        let order = LedgerOrder::Installation;
        let ledger = client.list_installed_pages(&same, order, true).await?;
        let digest = &told.launch_digest;
        Ok(Self {
            state: Some(told.state()),
            digest: (!digest.is_empty()).then(|| hex(digest)),
            measured_pages: told.measured_pages,
            pages: Sequence::of_ledger(&ledger).map_err(|error| not_compared(&error))?,
            name: told.name,
            spec: told.spec.unwrap_or_default(),
        })
    }

    fn image(name: String, plan: &Plan) -> Result<Self, Failure> {
        let pages = Sequence::of_plan(plan).map_err(|error| not_compared(&error))?;
        Ok(Self {
            name,
            state: None,
            spec: plan.spec(),
            digest: digest(plan)?.map(|digest| hex(&digest)),
            measured_pages: pages.pages(),
            pages,
        })
    }

    /// Whether pages may still be installed, or might have been.
    fn is_unfinished(&self) -> bool {
        match self.state {
            Some(LaunchState::Created | LaunchState::Staging | LaunchState::Aborted) => true,
            Some(
                LaunchState::Finished
                | LaunchState::Running
                | LaunchState::Stopped
                | LaunchState::Unspecified,
            )
            | None => false,
        }
    }

    /// `launches/vm-1 (STAGING)`, or the image's name.
    fn title(&self) -> String {
        match self.state {
            Some(state) => format!("{} ({})", self.name, words::launch_state(state.into())),
            None => self.name.clone(),
        }
    }
}

fn not_compared(error: &SequenceError) -> Failure {
    let what = match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    let hint = match error {
        SequenceError::BadAnswer { .. } => {
            "compare the versions of client and daemon: `stagectl node`"
        }
        SequenceError::Unreadable { .. } => "leave the image as it is while it is compared",
        SequenceError::Misaligned { .. } | SequenceError::TooMany => {
            "give an image that can be staged"
        }
    };
    Failure::new(what, hint)
}
