//! What an SEV-SNP launch is made with, on the command line.
//!
//! **Invariant:** a flag that is not given is not sent; its default is the image's, or the daemon's.

use bytes::Bytes;
use stagepages_client::{
    addr::{ParseError, parse_number},
    image::SevSnpOptions,
    sev_snp::Policy,
    v1,
};

use super::hex;

/// The flags.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of sev-snp")]
pub(crate) struct SevSnp {
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
    pub(crate) fn settings(self) -> Option<v1::SevSnpSettings> {
        self.options().settings()
    }

    /// Each flag that was given.
    pub(crate) fn options(self) -> SevSnpOptions {
        SevSnpOptions {
            guest_policy: self.policy,
            vmsa_features: self.vmsa_features,
            ghcb_version: self.ghcb_version,
            gosvw: self.gosvw,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        snp: SevSnp,
    }

    fn settings(line: &str) -> Option<v1::SevSnpSettings> {
        let words = std::iter::once("create").chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap().snp.settings()
    }

    #[test]
    fn every_flag_reaches_its_field() {
        let gosvw = "0123456789abcdef0123456789abcdef";
        let line = format!(
            "--snp-policy 0x30000 --snp-vmsa-features 0x20 --snp-ghcb-version 2 --snp-gosvw {gosvw}"
        );
        let settings = settings(&line).unwrap();
        assert_eq!(
            settings.guest_policy,
            Some(v1::sev_snp_settings::GuestPolicy::PolicyNumber(0x3_0000))
        );
        assert_eq!((settings.vmsa_features, settings.ghcb_version), (0x20, 2));
        assert_eq!(settings.gosvw[..3], [0x01, 0x23, 0x45]);
    }

    #[test]
    fn what_is_not_given_is_left_to_the_daemon() {
        assert_eq!(settings(""), None);
        let only = v1::SevSnpSettings {
            ghcb_version: 3,
            ..v1::SevSnpSettings::default()
        };
        assert_eq!(settings("--snp-ghcb-version 3"), Some(only));
    }
}
