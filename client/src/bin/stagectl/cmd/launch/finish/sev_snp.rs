//! What SNP_LAUNCH_FINISH is given beside the vCPUs, on the command line.
//!
//! **Invariant:** of a file no more is read than it may have, and one byte; a file of another size is not sent.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use stagepages_client::{addr::ParseError, v1};

use crate::{args::hex, failure::Failure};

/// Bytes of an ID block (AMD 56860, "Structure of the ID Block").
const ID_BLOCK: usize = 96;
/// Bytes of the ID authentication information.
const ID_AUTH: usize = 4096;

/// The flags.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of sev-snp")]
pub(super) struct SevSnp {
    /// The ID block: the launch digest and policy that the guest's owner signed, 96 bytes. Firmware refuses another digest or policy.
    #[arg(long = "snp-id-block", value_name = "FILE", requires = "id_auth")]
    id_block: Option<PathBuf>,
    /// The signatures and keys of the ID block (ID authentication information), 4096 bytes.
    #[arg(long = "snp-id-auth", value_name = "FILE", requires = "id_block")]
    id_auth: Option<PathBuf>,
    /// Have firmware check the author key in the ID authentication information too.
    #[arg(long = "snp-author-key", requires = "id_block")]
    author_key: bool,
    /// Data of the host's own that every attestation report will carry, 32 bytes; zeros if not given.
    #[arg(long = "snp-host-data", value_name = "HEX", value_parser = host_data)]
    host_data: Option<Bytes>,
    /// No reports signed with the chip's own key (VCEK).
    #[arg(long = "snp-vcek-disabled")]
    vcek_disabled: bool,
}

fn host_data(text: &str) -> Result<Bytes, ParseError> {
    hex::of_32(text, "host data")
}

impl SevSnp {
    /// What was given, with the files read; none if no flag was.
    pub(super) fn read(self) -> Result<Option<v1::SevSnpFinish>, Failure> {
        let given = self.id_block.is_some() || self.host_data.is_some() || self.vcek_disabled;
        if !given {
            return Ok(None);
        }
        let file = |path: Option<PathBuf>, what: &str, length: usize| {
            path.map_or(Ok(Bytes::new()), |path| exactly(&path, what, length))
        };
        Ok(Some(v1::SevSnpFinish {
            id_block: file(self.id_block, "an ID block", ID_BLOCK)?,
            id_auth: file(self.id_auth, "ID authentication information", ID_AUTH)?,
            author_key: self.author_key,
            host_data: self.host_data.unwrap_or_default(),
            vcek_disabled: self.vcek_disabled,
        }))
    }
}

/// The bytes of a file that has to have `length` of them.
fn exactly(path: &Path, what: &str, length: usize) -> Result<Bytes, Failure> {
    let bytes = at_most(path, length).map_err(|error| {
        Failure::new(
            format!("cannot read {}: {error}", path.display()),
            "give a file that this user can read",
        )
    })?;
    if bytes.len() == length {
        return Ok(bytes.into());
    }
    let has = match bytes.len() > length {
        true => format!("more than {length}"),
        false => bytes.len().to_string(),
    };
    Err(Failure::new(
        format!(
            "{} has {has} bytes, where {what} has {length}",
            path.display()
        ),
        "give it in binary, as firmware takes it; what QEMU takes is the same in base64: decode it first (base64 -d)",
    ))
}

/// The file, but no more of it than `length` bytes and one, by which it shows that it is longer.
fn at_most(path: &Path, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length + 1);
    let bound = u64::try_from(length).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(bound).read_to_end(&mut bytes)?;
    Ok(bytes)
}
