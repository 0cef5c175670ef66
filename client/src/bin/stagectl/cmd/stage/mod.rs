//! `stagectl stage`: an image into a launch of its own, in the order of its plan, finished under the plan's digest.
//!
//! ```text
//! image ──plan──▶ no errors? ──▶ CreateLaunch (SEQUENCED) ──▶ what the daemon lacks of the contents ──▶ the plan's extents, by a session
//!       ──▶ FinishLaunch (digest, ID block) ──▶ StartLaunch
//! ```
//!
//! Every step gives its first answer again: the same command with the same `--launch` goes on after it was killed, and does nothing more once all is done.
//!
//! **Invariant:** nothing is created for a plan with errors, and a launch is finished only under the digest that was planned.

use std::time::Duration;

use bytes::Bytes;
use stagepages_client::{
    Client, FinishArgs, LaunchRef,
    diff::{self, Sequence},
    install::Job,
    plan::{Payload, Plan},
    session::Options,
    v1::{Launch, LaunchPriority, LaunchSpec, LaunchState, LedgerOrder},
    words,
};

use super::{
    install::Bars,
    launch::stage::retry,
    plan::{digest, refuse_errors},
};
use crate::{
    args::{self, image::ImageArgs},
    cli::Context,
    failure::Failure,
    json::hex,
};

mod report;

use report::Report;

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Stage {
    #[command(flatten)]
    image: ImageArgs,
    /// The id of the launch, under which the same command goes on after it was killed; made by the daemon if not given, and then a repeat makes another launch.
    #[arg(long, value_name = "ID")]
    launch: Option<String>,
    /// Leave the launch STAGING: more is to be staged, or somebody else finishes it.
    #[arg(long)]
    no_finish: bool,
    /// Run the guest.
    #[arg(long, conflicts_with = "no_finish")]
    start: bool,
    /// Whose pages go first where the machine's firmware installs one page at a time (sev-snp, sim); normal if not given.
    #[arg(long, value_enum, value_name = "CLASS")]
    priority: Option<args::Priority>,
    /// How long to try again without a page of progress, for example 30s; 0s gives up at the first failure.
    #[arg(long, value_name = "TIME", value_parser = args::duration, default_value = "2m")]
    retry_for: Duration,
    /// Send the contents with the calls, and not as an image that the daemon keeps for the next launch.
    #[arg(long)]
    no_store: bool,
}

impl Stage {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self {
            image,
            launch: id,
            no_finish,
            start,
            priority,
            retry_for,
            no_store,
        } = self;
        let given = image.read()?;
        let plan = given.image.plan(&given.options)?;
        refuse_errors(&given.path, &plan)?;
        let planned = digest(&plan)?;
        let options = Options {
            retry: retry(retry_for),
            ..Options::named(plan.session(planned))
        };
        let session_name = options.name.to_string();

        let client = context.client().await?;
        let priority = priority.map_or(LaunchPriority::Unspecified, LaunchPriority::from);
        let spec = LaunchSpec {
            priority: priority.into(),
            ..plan.spec()
        };
        let created = client.create_launch(id.as_deref(), spec).await?;
        // A repeat gets the first answer, of a launch that was new then.
        let launch = client.get_launch(&LaunchRef::from(&created)).await?;
        let (launch, installed) = match launch.state() {
            LaunchState::Created | LaunchState::Staging => {
                let reference = LaunchRef::from(&launch);
                let payload = match no_store {
                    false => Payload::of(&plan),
                    true => None,
                };
                let of_plan = payload.clone();
                let job = Job {
                    audience: &Bars::new(context.output),
                    client: &client,
                    launch: &reference,
                    options,
                    pages: plan.pages(),
                    payload,
                    parts: |image| match (image, &of_plan) {
                        (Some(image), Some(payload)) => plan.parts_from(payload, image),
                        _ => plan.parts(),
                    },
                };
                let installed = job.run().await?;
                (client.get_launch(&reference).await?, Some(installed))
            }
            LaunchState::Finished | LaunchState::Running | LaunchState::Stopped => (launch, None),
            LaunchState::Aborted | LaunchState::Unspecified => return Err(over(&launch)),
        };
        let mut report = Report::new(session_name, &plan, planned, &launch, installed);
        if let Some(failure) = report.failure() {
            context.output.document(&report)?;
            return Err(failure.documented());
        }
        let end = conclude(&client, launch, &plan, planned, (!no_finish, start)).await;
        match end {
            Ok(launch) => {
                report.now(&launch);
                Ok(context.output.document(&report)?)
            }
            Err(failure) => {
                report.failed(&failure);
                context.output.document(&report)?;
                Err(failure.documented())
            }
        }
    }
}

/// Finishes and starts the launch, as far as that is wanted and has not been done.
async fn conclude(
    client: &Client,
    mut launch: Launch,
    plan: &Plan,
    planned: Option<[u8; 48]>,
    (finish, start): (bool, bool),
) -> Result<Launch, Failure> {
    let reference = LaunchRef::from(&launch);
    let staged = matches!(launch.state(), LaunchState::Created | LaunchState::Staging);
    if !staged {
        same(client, &launch, plan, planned).await?;
    }
    if finish {
        let expected = planned.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(&it));
        let args = FinishArgs {
            expected_launch_digest: expected,
            sev_snp: plan.finish.clone(),
        };
        // Of a launch that was finished before it is asked whether that was with these arguments; the answer is the first one.
        let finished = client.finish_launch(&reference, args).await?;
        if staged {
            launch = finished;
        }
    }
    if start && launch.state() == LaunchState::Finished {
        launch = client.start_launch(&reference).await?;
    }
    Ok(launch)
}

/// Whether a launch that was finished before is one of this plan.
async fn same(
    client: &Client,
    launch: &Launch,
    plan: &Plan,
    planned: Option<[u8; 48]>,
) -> Result<(), Failure> {
    let hint = "take another id, or end that launch first: `stagectl launch abort`, `stagectl launch delete`";
    let name = &launch.name;
    if launch.installed_pages != plan.pages() {
        let has = launch.installed_pages;
        let text = format!(
            "{name} was finished before with {has} pages, and the plan has {}",
            plan.pages()
        );
        return Err(Failure::new(text, hint));
    }
    match planned {
        Some(planned) if launch.launch_digest != planned[..] => {
            let text = format!(
                "{name} was finished before under the launch digest {}, and the plan ends in {}",
                hex(&launch.launch_digest),
                hex(&planned)
            );
            Err(Failure::new(text, hint))
        }
        Some(_) => Ok(()),
        // Nothing is measured there, so its pages themselves are looked at.
        None => {
            let reference = LaunchRef::from(launch);
            let order = LedgerOrder::Installation;
            let ledger = client.list_installed_pages(&reference, order, true).await?;
            let unlike = |error: &dyn std::error::Error| {
                Failure::new(format!("{name} cannot be compared: {error}"), hint)
            };
            let installed = Sequence::of_ledger(&ledger).map_err(|error| unlike(&error))?;
            let wanted = Sequence::of_plan(plan).map_err(|error| unlike(&error))?;
            if diff::compare(&wanted, &installed, plan.platform).is_identical() {
                return Ok(());
            }
            let text = format!(
                "{name} was finished before with other pages than the plan has; `stagectl diff` names the first"
            );
            Err(Failure::new(text, hint))
        }
    }
}

fn over(launch: &Launch) -> Failure {
    let cause = launch.abort.as_ref();
    Failure::new(
        format!(
            "{} is {}: {}",
            launch.name,
            words::launch_state(launch.state),
            cause.map_or("no cause is told", |cause| cause.message.as_str())
        ),
        "nothing can be staged into it any more: take another id, or delete it with `stagectl launch delete` and repeat the command",
    )
}
