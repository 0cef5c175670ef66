//! `stagectl digest`: the launch digest that a launch of an image ends in, and nothing else.
//!
//! JSON: `{"digest", "platform", "vcpus"}`.
//!
//! **Invariant:** asks no daemon, and prints no digest of a plan that would be refused.

use std::fmt;

use serde::Serialize;
use stagepages_client::words;

use super::plan;
use crate::{args::image::ImageArgs, cli::Context, failure::Failure, json::hex};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Digest {
    #[command(flatten)]
    image: ImageArgs,
}

#[derive(Debug, Serialize)]
struct Document {
    digest: String,
    platform: String,
    vcpus: usize,
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digest)
    }
}

impl Digest {
    /// Runs it.
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let given = self.image.read()?;
        let plan = given.image.plan(&given.options)?;
        plan::refuse_errors(&given.path, &plan)?;
        let platform: String = words::platform(plan.platform.into()).into();
        let Some(digest) = plan::digest(&plan)? else {
            return Err(Failure::new(
                format!("{platform} measures nothing, so there is no digest"),
                "name a platform that measures, for example --platform sev-snp",
            ));
        };
        let document = Document {
            digest: hex(&digest),
            platform,
            vcpus: plan.vcpus.len(),
        };
        Ok(context.output.document(&document)?)
    }
}
