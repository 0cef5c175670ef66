//! What a TDX launch is made with, on the command line.
//!
//! **Invariant:** a flag that is not given is not sent; its default is the image's, or the daemon's.

use bytes::Bytes;
use stagepages_client::{
    addr::{ParseError, parse_number},
    image::TdxOptions,
    tdx::CpuidLeaf,
    v1,
};

use super::hex;

/// The flags.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of tdx")]
pub(crate) struct Tdx {
    /// TD attributes; SEPT_VE_DISABLE (0x10000000) where KVM takes it if not given. Bit 0 is debug: never with secrets.
    #[arg(long = "tdx-attributes", value_name = "NUMBER", value_parser = parse_number)]
    attributes: Option<u64>,
    /// Extended features that the guest may use, as XCR0 and IA32_XSS have them; all that KVM takes if not given.
    #[arg(long = "tdx-xfam", value_name = "NUMBER", value_parser = parse_number)]
    xfam: Option<u64>,
    /// Id of the guest's configuration, 48 bytes; zeros if not given.
    #[arg(long = "tdx-mrconfigid", value_name = "HEX", value_parser = id)]
    mrconfigid: Option<Bytes>,
    /// Id of the guest's owner, 48 bytes; zeros if not given.
    #[arg(long = "tdx-mrowner", value_name = "HEX", value_parser = id)]
    mrowner: Option<Bytes>,
    /// Id of the owner's configuration, 48 bytes; zeros if not given.
    #[arg(long = "tdx-mrownerconfig", value_name = "HEX", value_parser = id)]
    mrownerconfig: Option<Bytes>,
    /// A CPUID leaf of the guest, for example 0x80000008:0x300000:0:0:0; repeat for more. Every configurable leaf as KVM has it if none is given.
    ///
    /// If any is given, 0x80000008 must be too, with 48 or 52 guest physical address bits in bits 16 to 23 of EAX. `stagectl node --output json` has the
    /// leaves and bits that can be configured.
    #[arg(long = "tdx-cpuid", value_name = "FUNCTION[.INDEX]:EAX:EBX:ECX:EDX")]
    cpuid: Vec<CpuidLeaf>,
}

fn id(text: &str) -> Result<Bytes, ParseError> {
    hex::of_48(text, "an id of a TD")
}

impl Tdx {
    /// The settings; none if no flag was given.
    pub(crate) fn settings(self) -> Option<v1::TdxSettings> {
        self.options().settings()
    }

    /// Each flag that was given.
    pub(crate) fn options(self) -> TdxOptions {
        TdxOptions {
            attributes: self.attributes,
            xfam: self.xfam,
            mrconfigid: self.mrconfigid,
            mrowner: self.mrowner,
            mrownerconfig: self.mrownerconfig,
            cpuid: self.cpuid,
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
        tdx: Tdx,
    }

    fn settings(line: &str) -> Option<v1::TdxSettings> {
        let words = std::iter::once("create").chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap().tdx.settings()
    }

    #[test]
    fn every_flag_reaches_its_field() {
        let [config, owner, both] = ["01", "02", "03"].map(|byte| byte.repeat(48));
        let line = format!(
            "--tdx-attributes 0x10000000 --tdx-xfam 7 --tdx-mrconfigid {config} --tdx-mrowner {owner} --tdx-mrownerconfig {both} \
             --tdx-cpuid 0x80000008:0x300000:0:0:0 --tdx-cpuid 7.1:1:2:3:4"
        );
        let settings = settings(&line).unwrap();
        assert_eq!(
            (settings.attributes, settings.xfam),
            (Some(0x1000_0000), Some(7))
        );
        let ids = [
            &settings.mrconfigid,
            &settings.mrowner,
            &settings.mrownerconfig,
        ];
        assert_eq!(ids.map(|id| (id.len(), id[0])), [(48, 1), (48, 2), (48, 3)]);
        let leaves: Vec<_> = settings
            .cpuid
            .iter()
            .map(|it| (it.function, it.index, it.eax))
            .collect();
        assert_eq!(leaves, [(0x8000_0008, 0, 0x30_0000), (7, 1, 1)]);
    }

    #[test]
    fn what_is_not_given_is_left_to_the_daemon() {
        assert_eq!(settings(""), None);
        // Zero attributes are not the same as none given.
        let none = v1::TdxSettings {
            attributes: Some(0),
            ..v1::TdxSettings::default()
        };
        assert_eq!(settings("--tdx-attributes 0"), Some(none));
    }
}
