//! `stagectl launch create`.
//!
//! **Invariant:** sends what was typed; the daemon alone decides what a launch may be.

use std::time::Duration;

use stagepages_client::{addr::Region, v1, vcpu::Vcpu};

use super::show::Shown;
use crate::{args, cli::Context, failure::Failure};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The id; made by the daemon if not given, and then a repeat makes another launch.
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// The platform. Without it the daemon takes a confidential one that works here, or refuses.
    #[arg(long, value_enum, value_name = "PLATFORM")]
    platform: Option<args::Platform>,
    /// A memory region, for example 0x0+64M; repeat for more.
    #[arg(long, required = true, value_name = "GPA+SIZE")]
    memory: Vec<Region>,
    /// A label of your own; repeat for more.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = args::label)]
    labels: Vec<(String, String)>,
    /// The order in which pages are taken; unordered by default.
    #[arg(long, value_enum, value_name = "ORDER")]
    ordering: Option<args::Ordering>,
    /// How long the launch may stay untouched before it is aborted, for example 1h; the daemon's default if not given.
    #[arg(long, value_name = "TIME", value_parser = args::duration)]
    lease: Option<Duration>,
    /// Whose pages go first where the machine's firmware installs one page at a time (sev-snp, sim); normal if not given.
    #[arg(long, value_enum, value_name = "CLASS")]
    priority: Option<args::Priority>,
    /// How many pages will be staged in all, for the queue's forecast.
    #[arg(long, value_name = "N")]
    planned_pages: Option<u64>,
    /// How many vCPUs the guest has; 1 if not given.
    #[arg(long, value_name = "N")]
    vcpus: Option<u32>,
    /// How a vCPU begins: `0=reset`, `0=tdx:RCX`, `0=real:CS:IP[:SP]` or `0=long:RIP:CR3[:RSP]`; repeat for more. One that is not named is reset.
    ///
    /// tdx takes the first two alone. The last two take other general registers behind a comma: 0=long:0x100000:0x1000,rsi=0x7000. Numbers are hex with 0x, or decimal.
    #[arg(long = "vcpu", value_name = "INDEX=STATE")]
    vcpu_states: Vec<Vcpu>,
    /// sim only: the time that simulated firmware takes for one page, for example 1ms.
    #[arg(long, value_name = "TIME", value_parser = args::duration)]
    page_latency: Option<Duration>,
    #[command(flatten)]
    sev_snp: args::sev_snp::SevSnp,
    #[command(flatten)]
    tdx: args::tdx::Tdx,
}

impl Create {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let id = self.id.clone();
        let spec = self.spec()?;
        let launch = context
            .client()
            .await?
            .create_launch(id.as_deref(), spec)
            .await?;
        Ok(context.output.document(&Shown::new(&launch))?)
    }

    fn spec(self) -> Result<v1::LaunchSpec, Failure> {
        let labels: std::collections::HashMap<_, _> = self.labels.iter().cloned().collect();
        if labels.len() < self.labels.len() {
            return Err(Failure::usage(
                "a label's key is given twice",
                "give each key once",
            ));
        }
        let page_latency = wire_duration(
            self.page_latency,
            "the page latency is too long",
            "give at most 10s",
        )?;
        let lease = wire_duration(
            self.lease,
            "the lease is too long",
            "`stagectl node` shows the longest",
        )?;
        Ok(v1::LaunchSpec {
            platform: self
                .platform
                .map_or(v1::Platform::Unspecified, v1::Platform::from)
                .into(),
            regions: self
                .memory
                .into_iter()
                .map(v1::MemoryRegion::from)
                .collect(),
            labels,
            ordering: self
                .ordering
                .map_or(v1::OrderingMode::Unspecified, v1::OrderingMode::from)
                .into(),
            lease,
            priority: self
                .priority
                .map_or(v1::LaunchPriority::Unspecified, v1::LaunchPriority::from)
                .into(),
            planned_pages: self.planned_pages.unwrap_or_default(),
            vcpus: self.vcpus.unwrap_or_default(),
            vcpu_states: self
                .vcpu_states
                .into_iter()
                .map(v1::VcpuState::from)
                .collect(),
            sim: page_latency.map(|latency| v1::SimSettings {
                page_latency: Some(latency),
                faults: Vec::new(),
            }),
            sev_snp: self.sev_snp.settings(),
            tdx: self.tdx.settings(),
        })
    }
}

fn wire_duration(
    time: Option<Duration>,
    what: &str,
    hint: &str,
) -> Result<Option<prost_types::Duration>, Failure> {
    time.map(prost_types::Duration::try_from)
        .transpose()
        .map_err(|_too_long| Failure::usage(what, hint))
}
