//! What SNP_LAUNCH_FINISH is given beside the vCPUs, on the command line.
//!
//! **Invariant:** an ID block that firmware would refuse by itself is not sent: at the finish it would cost the launch.

use std::path::PathBuf;

use bytes::Bytes;
use stagepages_client::{addr::ParseError, v1};

use crate::{args::hex, cmd::id_block::files, failure::Failure};

/// The flags.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of sev-snp")]
pub(super) struct SevSnp {
    /// The ID block: the launch digest and policy that the guest's owner signed, 96 bytes. Firmware refuses another digest or policy.
    #[arg(long = "snp-id-block", value_name = "FILE", requires = "id_auth")]
    id_block: Option<PathBuf>,
    /// The signatures and keys of the ID block (ID authentication information), 4096 bytes. Checked before anything is sent.
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
    /// What was given, with the files read and checked, also against the digest that is expected, if one is; none if no flag was.
    pub(super) fn read(self, expected: Option<&[u8]>) -> Result<Option<v1::SevSnpFinish>, Failure> {
        let given = self.id_block.is_some() || self.host_data.is_some() || self.vcek_disabled;
        if !given {
            return Ok(None);
        }
        let mut finish = v1::SevSnpFinish {
            author_key: self.author_key,
            host_data: self.host_data.unwrap_or_default(),
            vcek_disabled: self.vcek_disabled,
            ..v1::SevSnpFinish::default()
        };
        if let Some((block, auth)) = self.id_block.zip(self.id_auth) {
            let files = files::read(&block, &auth)?;
            let mut problems = files.signed.problems(self.author_key);
            problems.extend(files.signed.disagreements(expected, None));
            refuse(&problems)?;
            (finish.id_block, finish.id_auth) = (files.block, files.auth);
        }
        Ok(Some(finish))
    }
}

fn refuse(problems: &[stagepages_client::image::ImageError]) -> Result<(), Failure> {
    let Some(first) = problems.first() else {
        return Ok(());
    };
    let what = format!("firmware would refuse this ID block, which would end the launch: {first}");
    let hint = "nothing was sent, and the launch is as it was; `stagectl id-block check` shows all of the block";
    let others = problems.iter().skip(1).map(ToString::to_string);
    Err(Failure::new(what, hint).with_more(others))
}
