//! The image that is compared, and what its plan is made with.
//!
//! **Invariant:** an image is planned for the launch's platform unless another is named, and with one vCPU unless it, or the caller, says more.

use std::path::{Path, PathBuf};

use stagepages_client::{
    image::{ImageError, Input, Options, bzimage, elf},
    plan::Plan,
    v1,
};

use crate::{
    args::{Platform, sev_snp::SevSnp, tdx::Tdx},
    failure::Failure,
};

/// The options.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of the image")]
pub(super) struct ImageOptions {
    /// Plan the image for this platform; the launch's if not given.
    #[arg(long, value_enum, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// How many vCPUs were planned; as many as the image has states for, or one, if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    vcpus: Option<u32>,
    /// The kernel that the firmware boots.
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The kernel's initial RAM disk.
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// The kernel's command line.
    #[arg(long, value_name = "TEXT")]
    append: Option<String>,
    #[command(flatten)]
    sev_snp: SevSnp,
    #[command(flatten)]
    tdx: Tdx,
}

impl ImageOptions {
    /// Reads the files that are named.
    pub(super) fn read(self) -> Result<Options, Failure> {
        let file = |path: Option<PathBuf>| path.as_deref().map(Input::read).transpose();
        Ok(Options {
            platform: self.platform.map(Into::into),
            vcpus: self.vcpus,
            kernel: file(self.kernel).map_err(|error| refused(&error))?,
            initrd: file(self.initrd).map_err(|error| refused(&error))?,
            append: self.append,
            sev_snp: self.sev_snp.settings(),
            tdx: self.tdx.settings(),
            ..Options::default()
        })
    }
}

/// The plan of an image, for `platform` unless the options name one.
pub(super) fn plan(
    path: &Path,
    options: &Options,
    platform: Option<v1::Platform>,
) -> Result<Plan, Failure> {
    let options = Options {
        platform: options.platform.or(platform),
        ..options.clone()
    };
    let input = Input::read(path).map_err(|error| refused(&error))?;
    let loaded = match &input.bytes {
        bytes if elf::recognises(bytes) => elf::load(&input, &options),
        bytes if bzimage::recognises(bytes) => bzimage::load(&input, &options),
        _ => Err(ImageError::whole("image", "is neither ELF nor a bzImage").of(&input.name)),
    };
    loaded.map_err(|error| refused(&error))
}

fn refused(error: &ImageError) -> Failure {
    let hint = "give the image, and the options, that the launch was planned with";
    Failure::new(error.to_string(), hint)
}
