//! What an ID block is made for: an image with its options, or a digest with a policy.
//!
//! **Invariant:** one of the two and never both; no flag of either is passed over in silence.

use bytes::Bytes;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use stagepages_client::{addr::ParseError, sev_snp::Policy, v1::Platform, words};

use crate::{
    args::{hex, image::ImageArgs},
    cmd::plan,
    failure::Failure,
};

/// One of the two. Boxed: an image has many options.
#[derive(Debug)]
pub(super) enum Subject {
    /// Its plan has a digest and a policy.
    Image(Box<ImageArgs>),
    /// As they were typed.
    Told(Told),
}

/// Where the digest was computed elsewhere.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Told {
    /// Without an image: the launch digest that the guest must come to, 48 bytes in hex.
    #[arg(long, value_name = "HEX", value_parser = digest)]
    digest: Bytes,
    /// With --digest: the guest policy that the launch must have, a number, or names with commas between; 0x30000, which is smt, if not given.
    #[arg(
        long = "policy",
        value_name = "POLICY",
        requires = "digest",
        conflicts_with = "image"
    )]
    signed_policy: Option<Policy>,
}

fn digest(text: &str) -> Result<Bytes, ParseError> {
    hex::of_48(text, "a launch digest of sev-snp")
}

impl Subject {
    /// The launch digest and the guest policy.
    pub(super) fn read(self) -> Result<(Bytes, u64), Failure> {
        match self {
            Self::Image(image) => planned(*image),
            Self::Told(told) => {
                let policy = told.signed_policy.map(|it| it.number());
                Ok((told.digest, policy.unwrap_or(Policy::DEFAULT)))
            }
        }
    }
}

/// The digest that an image ends in, and the policy of its launch.
fn planned(image: ImageArgs) -> Result<(Bytes, u64), Failure> {
    let given = image.read()?;
    let mut plan = given.image.plan(&given.options)?;
    // One of the image's own is what this one takes the place of, be it as it may.
    plan.finish = None;
    if plan.platform != Platform::SevSnp {
        let platform = words::platform(plan.platform.into());
        return Err(Failure::new(
            format!("the plan is for {platform}, and an ID block for sev-snp"),
            "plan for it: --platform sev-snp",
        ));
    }
    plan::refuse_errors(&given.path, &plan)?;
    let digest = plan::digest(&plan)?.ok_or_else(|| {
        let hint = format!("see it with `stagectl plan {}`", given.path);
        Failure::new("the plan has no digest", hint)
    })?;
    Ok((Bytes::copy_from_slice(&digest), plan.guest_policy()))
}

// By hand: what derives this takes an `Option<ImageArgs>` for absent as soon as that has parts of its own.
impl Args for Subject {
    fn augment_args(command: Command) -> Command {
        let alone = ImageArgs::augment_args(Command::new("image"));
        let of_image = alone.get_arguments().map(|it| it.get_id().clone());
        let of_image: Vec<_> = of_image.collect();
        let command = ImageArgs::augment_args(command).mut_arg("image", |image| {
            image.required(false).required_unless_present("digest")
        });
        Told::augment_args(command).mut_arg("digest", |digest| {
            digest.required(false).conflicts_with_all(of_image)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Subject {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match matches.contains_id("image") {
            true => ImageArgs::from_arg_matches(matches).map(|it| Self::Image(Box::new(it))),
            false => Told::from_arg_matches(matches).map(Self::Told),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
