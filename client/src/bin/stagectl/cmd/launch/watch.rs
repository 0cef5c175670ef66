//! `stagectl launch watch`: a line for every change, until the launch is over.
//!
//! **Invariant:** succeeds only if it has seen the launch's terminal state.

use super::show::Change;
use crate::{args::Target, cli::Context, failure::Failure};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    target: Target,
}

impl Watch {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let launch = self.target.launch();
        let mut watch = context.client().await?.watch_launch(&launch).await?;
        let mut over = false;
        while let Some(launch) = watch.next().await? {
            over = is_terminal(launch.state());
            context.output.line(&Change::new(&launch))?;
        }
        if over {
            return Ok(());
        }
        Err(Failure::new(
            format!("the daemon stopped telling of {launch} before it was over"),
            "watch it again: the first line tells how it is by then",
        )
        .documented())
    }
}

fn is_terminal(state: stagepages_client::v1::LaunchState) -> bool {
    use stagepages_client::v1::LaunchState::{
        Aborted, Created, Finished, Running, Staging, Stopped, Unspecified,
    };
    match state {
        Aborted | Stopped => true,
        Unspecified | Created | Staging | Finished | Running => false,
    }
}
