//! What an SEV-SNP launch is made with, on the command line.
//!
//! **Invariant:** a flag that is not given is not sent; its default is the daemon's.

use bytes::Bytes;
use stagepages_client::{
    addr::{ParseError, parse_number},
    sev_snp::Policy,
    v1,
};

use crate::args::hex;

/// The flags.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of sev-snp")]
pub(super) struct SevSnp {
    /// The guest policy: a number, or names with commas between, for example smt,abi=1.55; 0x30000, which is smt, if not given.
    ///
    /// Names: smt, migrate-ma, debug, single-socket, cxl-allow, mem-aes-256-xts, rapl-dis, ciphertext-hiding-dram, page-swap-disable, and
    /// abi=MAJOR.MINOR for the least version of the firmware's ABI. debug lets the host read the guest: never with secrets.
    #[arg(long = "snp-policy", value_name = "POLICY")]
    policy: Option<Policy>,
    /// SEV_FEATURES of every vCPU's save area, beside SNP_ACTIVE; `stagectl node --output json` has those that KVM takes.
    #[arg(long = "snp-vmsa-features", value_name = "NUMBER", value_parser = parse_number)]
    vmsa_features: Option<u64>,
    /// The newest GHCB protocol that the guest may negotiate; 2 if not given.
    #[arg(long = "snp-ghcb-version", value_name = "N", value_parser = clap::value_parser!(u32).range(2..=0xffff))]
    ghcb_version: Option<u32>,
    /// Guest OS visible workarounds, 16 bytes; zeros if not given.
    #[arg(long = "snp-gosvw", value_name = "HEX", value_parser = gosvw)]
    gosvw: Option<Bytes>,
}

fn gosvw(text: &str) -> Result<Bytes, ParseError> {
    hex::of_16(text, "a set of workarounds")
}

impl SevSnp {
    /// The settings; none if no flag was given.
    pub(super) fn settings(self) -> Option<v1::SevSnpSettings> {
        let given = self.policy.is_some()
            || self.vmsa_features.is_some()
            || self.ghcb_version.is_some()
            || self.gosvw.is_some();
        given.then(|| v1::SevSnpSettings {
            guest_policy: self.policy.map(Into::into),
            vmsa_features: self.vmsa_features.unwrap_or_default(),
            ghcb_version: self.ghcb_version.unwrap_or_default(),
            gosvw: self.gosvw.unwrap_or_default(),
        })
    }
}
