//! `stagectl launch set-vcpu`.
//!
//! **Invariant:** sends what was typed; which registers a vCPU allows, the launch host says.

use stagepages_client::vcpu::Vcpu;

use super::show::Shown;
use crate::{args::Target, cli::Context, failure::Failure};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct SetVcpu {
    #[command(flatten)]
    target: Target,
    /// The vCPU and its state: `0=reset`, `0=tdx:RCX`, `0=real:CS:IP[:SP]` or `0=long:RIP:CR3[:RSP]`.
    ///
    /// tdx takes the first two alone, and only before its first page. The last two take other general registers behind a comma: 0=long:0x100000:0x1000,rsi=0x7000. Numbers are hex with 0x, or decimal.
    #[arg(value_name = "INDEX=STATE")]
    state: Vcpu,
}

impl SetVcpu {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client().await?;
        let launch = client
            .set_vcpu_state(&self.target.launch(), self.state.into())
            .await?;
        Ok(context.output.document(&Shown::new(&launch))?)
    }
}
