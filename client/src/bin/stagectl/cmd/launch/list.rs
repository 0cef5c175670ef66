//! `stagectl launch list`.
//!
//! **Invariant:** changes nothing.

use stagepages_client::v1::LaunchState;

use super::show::Listed;
use crate::{args, cli::Context, failure::Failure};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only launches in this state; repeat for more.
    #[arg(long = "state", value_enum, ignore_case = true, value_name = "STATE")]
    states: Vec<args::State>,
}

impl List {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let states: Vec<LaunchState> = self.states.into_iter().map(LaunchState::from).collect();
        let list = context.client().await?.list_launches(&states).await?;
        if list.unsettled > 0 {
            context.output.notice(&format!(
                "{} more launches are being created, or their hosts have not answered the daemon since it began; list again to see them",
                list.unsettled
            ));
        }
        Ok(context.output.document(&Listed::new(&list.launches))?)
    }
}
