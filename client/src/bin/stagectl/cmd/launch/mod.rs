//! `stagectl launch`: creating, looking at and ending launches.
//!
//! **Invariant:** one file per subcommand; what several show is in `show`.

use clap::Subcommand;

use crate::{cli::Context, failure::Failure};

mod abort;
mod console;
mod create;
mod delete;
mod finish;
mod get;
mod list;
mod pages;
mod rejected_cpuid;
mod renew;
mod result;
mod set_vcpu;
pub(crate) mod show;
pub(crate) mod stage;
mod start;
mod stop;
mod verify;
mod watch;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum LaunchCommand {
    /// Create a launch: a VM with its memory, nothing installed.
    Create(Box<create::Create>),
    /// Show a launch.
    Get(get::Get),
    /// List launches, oldest first.
    List(list::List),
    /// Follow a launch until it is over: a line for every change.
    Watch(watch::Watch),
    /// Begin a launch's lease anew.
    Renew(renew::Renew),
    /// Show the answer that a staging call got.
    Result(result::ResultOf),
    /// Stage a file, or a run of pages without contents.
    Stage(stage::Stage),
    /// Set how a vCPU begins; the last one set counts.
    SetVcpu(set_vcpu::SetVcpu),
    /// End staging; no page can be installed afterwards.
    Finish(finish::Finish),
    /// Run the guest of a finished launch.
    Start(start::Start),
    /// Attach to the guest's console: its output here, what is typed there. Ctrl-] leaves.
    Console(console::Attach),
    /// Stop the guest where it is, as pulling the plug does.
    Stop(stop::Stop),
    /// Have ledger and memory checked against each other.
    Verify(verify::Verify),
    /// End a launch and release its memory.
    Abort(abort::Abort),
    /// Delete the record of an ended launch.
    Delete(delete::Delete),
    /// Show which pages are installed.
    Pages(pages::Pages),
    /// Show what firmware would have otherwise in the CPUID page that it refused last.
    RejectedCpuid(rejected_cpuid::RejectedCpuid),
}

impl LaunchCommand {
    /// Runs it.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Create(command) => command.run(context).await,
            Self::Get(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Watch(command) => command.run(context).await,
            Self::Renew(command) => command.run(context).await,
            Self::Result(command) => command.run(context).await,
            Self::Stage(command) => command.run(context).await,
            Self::SetVcpu(command) => command.run(context).await,
            Self::Finish(command) => command.run(context).await,
            Self::Start(command) => command.run(context).await,
            Self::Console(command) => command.run(context).await,
            Self::Stop(command) => command.run(context).await,
            Self::Verify(command) => command.run(context).await,
            Self::Abort(command) => command.run(context).await,
            Self::Delete(command) => command.run(context).await,
            Self::Pages(command) => command.run(context).await,
            Self::RejectedCpuid(command) => command.run(context).await,
        }
    }
}
