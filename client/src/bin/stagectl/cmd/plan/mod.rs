//! `stagectl plan`: what staging an image would do, without a daemon.
//!
//! **Invariant:** changes nothing but to write the picture that was asked for; succeeds exactly if nothing is found that would be refused.

use stagepages_client::{
    cpu_type::CpuType,
    picture::Drawing,
    plan::{Plan, Swept, sweep},
    v1::Platform,
};

use crate::{
    args::image::{Given, ImageArgs},
    cli::Context,
    failure::Failure,
    picture::Picture,
};

mod document;
mod text;

use document::Document;

/// What is swept if nothing is named.
const VCPUS: [u32; 4] = [1, 2, 4, 8];
const TYPES: [&str; 3] = ["EPYC-v4", "EPYC-Milan", "EPYC-Genoa"];

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct PlanImage {
    #[command(flatten)]
    image: ImageArgs,
    /// Show the digests for these numbers of vCPUs; 1,2,4,8 on sev-snp if not given.
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=64))]
    sweep_vcpus: Vec<u32>,
    /// Show the digests for these vCPU types; EPYC-v4, EPYC-Milan and EPYC-Genoa on sev-snp if not given.
    #[arg(long, value_name = "TYPE,…", value_delimiter = ',')]
    sweep_types: Vec<CpuType>,
    #[command(flatten)]
    picture: Picture,
}

impl PlanImage {
    /// Runs it.
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        self.picture.is_wanted(context.output)?;
        let given = self.image.read()?;
        let plan = given.image.plan(&given.options)?;
        let judgement = plan.judge();
        let errors = judgement.errors().count();
        let (rows, digest) = match judgement.is_measured {
            true => {
                let rows = swept(&given, &plan, &self.sweep_vcpus, &self.sweep_types);
                (rows, digest(&plan)?)
            }
            false => (Vec::new(), None),
        };
        let drawn = self.picture.draw(&Drawing::of_plan(&given.path, &plan))?;
        let findings = judgement.findings;
        let document = Document::new(&given.path, &plan, findings, digest, rows, drawn);
        context.output.document(&document)?;
        if errors == 0 {
            return Ok(());
        }
        let failure = Failure::new(
            match errors {
                1 => "a finding is an error: this plan would be refused".to_owned(),
                _ => format!("{errors} findings are errors: this plan would be refused"),
            },
            "each says the way out",
        );
        Err(failure.documented())
    }
}

/// Nothing where vCPUs are not measured, unless it was asked for.
fn swept(given: &Given, plan: &Plan, vcpus: &[u32], types: &[CpuType]) -> Vec<Swept> {
    let asked = !vcpus.is_empty() || !types.is_empty();
    if plan.platform != Platform::SevSnp && !asked {
        return Vec::new();
    }
    let vcpus = if vcpus.is_empty() { &VCPUS } else { vcpus };
    let types: Vec<_> = if types.is_empty() {
        TYPES.iter().filter_map(|name| name.parse().ok()).collect()
    } else {
        types.to_vec()
    };
    sweep(&given.image, &given.options, vcpus, &types)
}

/// Fails if the plan has findings that are errors, with all of them.
pub(super) fn refuse_errors(path: &str, plan: &Plan) -> Result<(), Failure> {
    let judgement = plan.judge();
    let errors: Vec<_> = judgement.errors().map(ToString::to_string).collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        format!("the plan would be refused: {}", errors.join("; ")),
        format!("see all of it with `stagectl plan {path}`; each finding says the way out"),
    ))
}

/// The digest of the plan.
pub(super) fn digest(plan: &Plan) -> Result<Option<[u8; 48]>, Failure> {
    plan.digest().map_err(|error| {
        Failure::new(
            format!("the digest cannot be computed: {error}"),
            "`stagectl plan` tells what is wrong with the plan",
        )
    })
}
