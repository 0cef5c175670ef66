//! `stagectl launch finish`.
//!
//! **Invariant:** compares no digest with the launch's; the daemon refuses a mismatch before anything is finished.

use bytes::Bytes;
use stagepages_client::FinishArgs;

use super::show::Shown;
use crate::{
    args::{Target, hex},
    cli::Context,
    failure::Failure,
};

mod sev_snp;

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Finish {
    #[command(flatten)]
    target: Target,
    /// Refuse unless the launch digest is this one, in hex.
    #[arg(long, value_name = "HEX", value_parser = hex::digest)]
    expect_digest: Option<Bytes>,
    #[command(flatten)]
    sev_snp: sev_snp::SevSnp,
}

impl Finish {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let sev_snp = self.sev_snp.read(self.expect_digest.as_deref())?;
        let args = FinishArgs {
            expected_launch_digest: self.expect_digest.unwrap_or_default(),
            sev_snp,
        };
        let client = context.client().await?;
        let launch = client.finish_launch(&self.target.launch(), args).await?;
        Ok(context.output.document(&Shown::new(&launch))?)
    }
}
