//! `stagectl id-block create`.
//!
//! **Invariant:** neither file is written unless both halves are made and judged good.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use stagepages_client::{
    addr::ParseError,
    id_block::{IdBlock, Key, SignedId, VERSION},
    sev_snp::Policy,
    v1::Platform,
    words,
};

use super::{document::IdBlockDocument, files};
use crate::{
    args::{hex, image::ImageArgs},
    cli::Context,
    cmd::plan,
    failure::Failure,
};

/// The command line.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "stagectl id-block create [IMAGE [OPTIONS]] --id-key <KEY.pem> --out-block <FILE> --out-auth <FILE>\n       \
                      stagectl id-block create --digest <HEX> [--policy <POLICY>] --id-key <KEY.pem> --out-block <FILE> --out-auth <FILE>",
    after_help = "Sign what you have computed yourself: IMAGE and its options as for `stagectl digest`, or a digest from a machine that you trust. \
                  One that a daemon shows protects nothing: it is what the host says that it installed.\n\nThe same arguments give the same files. \
                  Keys are P-384 in PEM (PKCS#8 or SEC1): openssl ecparam -name secp384r1 -genkey -noout -out id-key.pem"
)]
pub(crate) struct Create {
    #[command(flatten)]
    image: Option<ImageArgs>,
    /// Without an image: the launch digest that the guest must come to, 48 bytes in hex.
    #[arg(long, value_name = "HEX", value_parser = digest, required_unless_present = "image", conflicts_with_all = ["ImageArgs", "SevSnp", "Tdx"])]
    digest: Option<Bytes>,
    /// Without an image: the guest policy that the launch must have, a number, or names with commas between; 0x30000, which is smt, if not given.
    #[arg(long = "policy", value_name = "POLICY", requires = "digest")]
    signed_policy: Option<Policy>,
    /// Which family of guests it is, for attestation reports: 16 bytes of your own; zeros if not given.
    #[arg(long, value_name = "HEX", value_parser = family)]
    family_id: Option<Bytes>,
    /// Which image it is, for attestation reports: 16 bytes of your own; zeros if not given.
    #[arg(long, value_name = "HEX", value_parser = image)]
    image_id: Option<Bytes>,
    /// The guest's security version number, for attestation reports.
    #[arg(long, value_name = "N", default_value_t = 0)]
    guest_svn: u32,
    /// The private key that signs the block.
    #[arg(long, value_name = "KEY.pem")]
    id_key: PathBuf,
    /// The private key that signs the ID key. Its digest is in attestation reports, so ID keys can change without verifiers knowing each.
    #[arg(long, value_name = "KEY.pem")]
    author_key: Option<PathBuf>,
    /// Where the ID block goes, 96 bytes, for `launch finish --snp-id-block`. Must not exist.
    #[arg(long, value_name = "FILE")]
    out_block: PathBuf,
    /// Where the ID authentication information goes, 4096 bytes, for `launch finish --snp-id-auth`. Must not exist.
    #[arg(long, value_name = "FILE")]
    out_auth: PathBuf,
}

fn digest(text: &str) -> Result<Bytes, ParseError> {
    hex::of_48(text, "a launch digest of sev-snp")
}

fn family(text: &str) -> Result<Bytes, ParseError> {
    hex::of_16(text, "a family id")
}

fn image(text: &str) -> Result<Bytes, ParseError> {
    hex::of_16(text, "an image id")
}

impl Create {
    /// Runs it.
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let (launch_digest, policy) = match self.image {
            Some(image) => planned(image)?,
            None => {
                let policy = self.signed_policy.map_or(Policy::DEFAULT, |it| it.number());
                (self.digest.as_ref().map_or_else(needed, array)?, policy)
            }
        };
        let block = IdBlock {
            launch_digest,
            family_id: self.family_id.as_ref().map_or(Ok([0; 16]), array)?,
            image_id: self.image_id.as_ref().map_or(Ok([0; 16]), array)?,
            version: VERSION,
            guest_svn: self.guest_svn,
            policy,
        };
        let id_key = key(&self.id_key)?;
        let author_key = self.author_key.as_deref().map(key).transpose()?;
        let signed = SignedId::sign(block, &id_key, author_key.as_ref());
        if let Some(problem) = signed.problems(author_key.is_some()).first() {
            let what = format!("firmware would refuse what is to be signed: {problem}");
            return Err(Failure::new(what, "correct what is named"));
        }
        files::write(&self.out_block, &signed.block.to_bytes())?;
        files::write(&self.out_auth, &signed.auth.to_bytes())?;
        let document = IdBlockDocument::new(&signed, &[]);
        Ok(context.output.document(&document)?)
    }
}

/// What the command line's own rules leave no room for.
fn needed<T>() -> Result<T, Failure> {
    Err(Failure::usage(
        "there is nothing to sign",
        "give IMAGE, or --digest",
    ))
}

/// The digest that an image ends in, and the policy of its launch.
fn planned(image: ImageArgs) -> Result<([u8; 48], u64), Failure> {
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
    let digest = plan::digest(&plan)?
        .ok_or_else(|| Failure::new("the plan has no digest", "see it with `stagectl plan`"))?;
    Ok((digest, plan.guest_policy()))
}

fn key(path: &Path) -> Result<Key, Failure> {
    Key::read(path).map_err(|error| {
        let what = format!("{} {error}", path.display());
        Failure::new(
            what,
            "give a private key of P-384 in PEM that this user can read; firmware takes no other",
        )
    })
}

/// Of as many bytes as the parser of the flag lets through.
fn array<const N: usize>(bytes: &Bytes) -> Result<[u8; N], Failure> {
    bytes.as_ref().try_into().map_err(|error| {
        let what = format!("{} bytes where {N} must be: {error}", bytes.len());
        Failure::usage(what, "give as many bytes as `--help` says")
    })
}
