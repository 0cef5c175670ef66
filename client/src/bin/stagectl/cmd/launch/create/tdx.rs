//! What a TDX launch is made with, on the command line.
//!
//! **Invariant:** a flag that is not given is not sent; its default is the daemon's.

use bytes::Bytes;
use stagepages_client::{
    addr::{ParseError, parse_number},
    tdx::CpuidLeaf,
    v1,
};

use crate::args::hex;

/// The flags.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of tdx")]
pub(super) struct Tdx {
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
    /// If any is given, 0x80000008 must be too, with 48 or 52 guest physical address bits in EAX[23:16]. `stagectl node --output json` has the
    /// leaves and bits that can be configured.
    #[arg(long = "tdx-cpuid", value_name = "LEAF[.SUBLEAF]:EAX:EBX:ECX:EDX")]
    cpuid: Vec<CpuidLeaf>,
}

fn id(text: &str) -> Result<Bytes, ParseError> {
    hex::of_48(text, "an id of a TD")
}

impl Tdx {
    /// The settings; none if no flag was given.
    pub(super) fn settings(self) -> Option<v1::TdxSettings> {
        let given = self.attributes.is_some()
            || self.xfam.is_some()
            || self.mrconfigid.is_some()
            || self.mrowner.is_some()
            || self.mrownerconfig.is_some()
            || !self.cpuid.is_empty();
        given.then(|| v1::TdxSettings {
            attributes: self.attributes,
            xfam: self.xfam,
            mrconfigid: self.mrconfigid.unwrap_or_default(),
            mrowner: self.mrowner.unwrap_or_default(),
            mrownerconfig: self.mrownerconfig.unwrap_or_default(),
            cpuid: self.cpuid.into_iter().map(Into::into).collect(),
        })
    }
}
