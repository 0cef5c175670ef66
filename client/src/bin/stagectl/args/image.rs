//! An image and what it is planned with, on the command line of `plan`, `digest`, `stage` and `diff`.
//!
//! **Invariant:** the same words make the same plan in each of them.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::builder::PossibleValue;
use stagepages_client::{
    addr::{ParseError, Region, parse_number},
    cpu_type::CpuType,
    image::{self, Image, ImageError, Input},
    v1,
};

use super::{Platform, sev_snp::SevSnp, tdx::Tdx};
use crate::failure::Failure;

/// The image and its options.
#[derive(Debug, clap::Args)]
pub(crate) struct ImageArgs {
    /// The image: IGVM, OVMF or TDVF firmware, an ELF executable, a bzImage, or a manifest.
    ///
    /// What it says of its settings holds for each that is not given here; one that is given takes its place, which `stagectl plan` tells.
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// Take it for this format, whatever its bytes say.
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// The platform; the one that the image is for, if it is for one only.
    #[arg(long, value_enum, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// How many vCPUs; as many as the image says, or 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    vcpus: Option<u32>,
    /// The vCPUs' type, whose processor signature is measured on sev-snp: EPYC-v4, EPYC-Milan, …, FAMILY:MODEL:STEPPING or the signature.
    ///
    /// QEMU puts the signature into RDX of every vCPU, and so does this, but for vCPUs of which the image says how they begin: those stay as they are, which
    /// `stagectl plan` tells. Without it RDX is what KVM has in a new vCPU, 0x600.
    #[arg(long, value_name = "TYPE")]
    vcpu_type: Option<CpuType>,
    /// A kernel: where firmware measures its hashes (OVMF with a hash page), they are put there.
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The initial RAM disk of a kernel.
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// The command line of a kernel.
    #[arg(long, value_name = "TEXT")]
    append: Option<String>,
    /// A memory region of the guest, for example 0x0+1G; repeat for more. As little as the image needs if none is given.
    #[arg(long, value_name = "GPA+SIZE")]
    memory: Vec<Region>,
    /// The CPUID page of an sev-snp guest; a page without leaves if not given. Its contents are not measured.
    #[arg(long, value_name = "FILE")]
    cpuid_page: Option<PathBuf>,
    /// SEV_FEATURES of every vCPU's save area, SNP_ACTIVE (0x1) included, as sev-snp-measure takes them; the image's, or 0x1, if not given.
    #[arg(long, value_name = "NUMBER", value_parser = guest_features, conflicts_with = "vmsa_features")]
    guest_features: Option<u64>,
    #[command(flatten)]
    sev_snp: SevSnp,
    #[command(flatten)]
    tdx: Tdx,
}

/// A format that can be named.
#[derive(Clone, Copy, Debug)]
struct Format(image::Format);

impl clap::ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Format; image::Format::ALL.len()] = {
            let mut all = [Format(image::Format::ALL[0]); image::Format::ALL.len()];
            let mut nth = 0;
            while nth < all.len() {
                all[nth] = Format(image::Format::ALL[nth]);
                nth += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.word()))
    }
}

/// KVM always sets bit 0, so a number without it is a mistake.
fn guest_features(text: &str) -> Result<u64, ParseError> {
    match parse_number(text)? {
        features if features & 1 == 1 => Ok(features),
        _ => Err(ParseError::new(
            text,
            "a set of features of an SNP guest",
            "a number with bit 0, SNP_ACTIVE, set: 0x1, or 0x21 with DebugSwap",
        )),
    }
}

/// An image, and the options that were given with it.
#[derive(Debug)]
pub(crate) struct Given {
    /// The path as it was typed.
    pub(crate) path: String,
    /// Read, and its format told.
    pub(crate) image: Image,
    /// To make plans with.
    pub(crate) options: image::Options,
}

impl ImageArgs {
    /// Another image, of the same format if one was named.
    pub(crate) fn open_other(&self, path: &Path) -> Result<Image, ImageError> {
        Image::open(path, self.format.map(|it| it.0))
    }

    /// Reads every file that was named.
    pub(crate) fn read(self) -> Result<Given, Failure> {
        let file = |path: Option<PathBuf>| path.map(|path| Input::read(&path)).transpose();
        let image = Image::open(&self.image, self.format.map(|it| it.0))?;
        let cpuid_page = file(self.cpuid_page)?.map(cpuid_page).transpose()?;
        let mut sev_snp = self.sev_snp.options();
        if let Some(features) = self.guest_features {
            sev_snp.vmsa_features = Some(features & !1);
        }
        let options = image::Options {
            platform: self.platform.map(v1::Platform::from),
            vcpus: self.vcpus,
            cpu_signature: self.vcpu_type.map(CpuType::signature),
            sev_snp,
            tdx: self.tdx.options(),
            kernel: file(self.kernel)?,
            initrd: file(self.initrd)?,
            append: self.append,
            memory: self.memory,
            cpuid_page,
        };
        Ok(Given {
            path: self.image.display().to_string(),
            image,
            options,
        })
    }
}

fn cpuid_page(input: Input) -> Result<Bytes, ImageError> {
    if input.bytes.len() <= 4096 {
        return Ok(input.bytes);
    }
    let text = format!(
        "it has {:#x} bytes, and is one page; give 0x1000 at most",
        input.bytes.len()
    );
    Err(ImageError::whole("CPUID page", text).of(&input.name))
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Self::new(
            error.to_string(),
            "offsets are bytes from the beginning of the file; if it was taken for another format, name its own with --format",
        )
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        image: ImageArgs,
    }

    fn parse(line: &str) -> Result<Line, clap::Error> {
        Line::try_parse_from(std::iter::once("plan").chain(line.split_whitespace()))
    }

    #[test]
    fn guest_features_are_the_save_areas_without_the_bit_that_is_always_set() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"\x7fELF").unwrap();
        let path = file.path().display();
        let given = |flags: &str| parse(&format!("{path} {flags}")).unwrap().image.read();
        let features = |flags| given(flags).unwrap().options.sev_snp.vmsa_features;
        assert_eq!(features("--guest-features 1"), Some(0));
        assert_eq!(features("--guest-features 0x21"), Some(0x20));
        assert_eq!(features("--snp-vmsa-features 0x20"), Some(0x20));
        assert_eq!(features(""), None);
    }

    #[test]
    fn what_contradicts_itself_is_a_usage_error() {
        for line in [
            "",
            "a --guest-features 0x20",
            "a --guest-features 1 --snp-vmsa-features 1",
            "a --vcpus 0",
            "a --vcpus 65",
            "a --vcpu-type Xeon",
            "a --format floppy",
            "a --platform xen",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
