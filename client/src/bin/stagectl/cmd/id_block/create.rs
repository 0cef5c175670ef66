//! `stagectl id-block create`.
//!
//! **Invariant:** neither file is written unless both halves are made and judged good, and none is left where the other could not be.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use stagepages_client::{
    addr::ParseError,
    id_block::{IdBlock, Key, SignedId, VERSION},
};

use super::{document::IdBlockDocument, files, subject::Subject};
use crate::{args::hex, cli::Context, failure::Failure};

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
    subject: Subject,
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

fn family(text: &str) -> Result<Bytes, ParseError> {
    hex::of_16(text, "a family id")
}

fn image(text: &str) -> Result<Bytes, ParseError> {
    hex::of_16(text, "an image id")
}

impl Create {
    /// Runs it.
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let (digest, policy) = self.subject.read()?;
        let block = IdBlock {
            launch_digest: array(&digest)?,
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
        files::write([
            (&self.out_block, &signed.block.to_bytes()),
            (&self.out_auth, &signed.auth.to_bytes()),
        ])?;
        let document = IdBlockDocument::new(&signed, &[]);
        Ok(context.output.document(&document)?)
    }
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
