//! Which format a file has, told by its bytes, and its loader.
//!
//! **Invariant:** the bytes decide, and the file's name only for text, which looks like nothing else; what is not known is an error that lists what is.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::{ImageError, Input, Options, bzimage, elf, igvm, manifest, ovmf};
use crate::plan::Plan;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Pages, vCPUs and settings in one file, made for a confidential guest.
    Igvm,
    /// An ELF executable: a kernel, or a guest of one's own.
    Elf,
    /// A Linux kernel as it is installed.
    BzImage,
    /// Firmware with a table of GUIDs at its end: OVMF with SEV metadata, or TDVF.
    Firmware,
    /// Raw extents, written down by a person or a build.
    Manifest,
}

impl Format {
    /// Every format that is known, in the order in which files are asked for it.
    pub const ALL: [Self; 5] = [
        Self::Igvm,
        Self::Elf,
        Self::BzImage,
        Self::Firmware,
        Self::Manifest,
    ];

    /// What to call it on a command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Igvm => "igvm",
            Self::Elf => "elf",
            Self::BzImage => "bzimage",
            Self::Firmware => "firmware",
            Self::Manifest => "manifest",
        }
    }

    /// By what it is told.
    fn sign(self) -> &'static str {
        match self {
            Self::Igvm => "IGVM files (IGVM at 0x0)",
            Self::Elf => "ELF executables (\\x7fELF at 0x0)",
            Self::BzImage => "Linux bzImages (HdrS at 0x202)",
            Self::Firmware => "OVMF and TDVF firmware (a GUID table 0x30 bytes before the end)",
            Self::Manifest => "manifests (.toml, or TOML that begins with `version = 1`)",
        }
    }

    fn recognises(self, input: &Input) -> bool {
        match self {
            Self::Igvm => igvm::recognises(&input.bytes),
            Self::Elf => elf::recognises(&input.bytes),
            Self::BzImage => bzimage::recognises(&input.bytes),
            Self::Firmware => ovmf::recognises(&input.bytes),
            Self::Manifest => manifest::recognises(&input.name, &input.bytes),
        }
    }

    fn of(input: &Input) -> Result<Self, ImageError> {
        let known = Self::ALL.iter().find(|format| format.recognises(input));
        known.copied().ok_or_else(|| {
            let known = Self::ALL.map(Self::sign).join(", ");
            ImageError::whole(
                "image",
                format!(
                    "the format is not known; known are {known}; name the format with --format if it is one of them, or put the file at its address with `stagectl launch stage`"
                ),
            )
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A file that was read, and its format.
#[derive(Clone, Debug)]
pub struct Image {
    input: Input,
    format: Format,
    /// Where a manifest's files are.
    folder: PathBuf,
}

impl Image {
    /// Reads a file, of this format or of the one that its bytes tell.
    ///
    /// # Errors
    /// It cannot be read, is empty or too large ([`Input::read`]), or its format is not known.
    pub fn open(path: &Path, format: Option<Format>) -> Result<Self, ImageError> {
        let input = Input::read(path)?;
        let format = match format {
            Some(format) => format,
            None => Format::of(&input).map_err(|error| error.of(&input.name))?,
        };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self {
            input,
            format,
            folder,
        })
    }

    /// Its format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The plan that these options make of it. It can be made again with others; the file is not read again.
    ///
    /// # Errors
    /// What is wrong with the image, or does not go with the options.
    pub fn plan(&self, options: &Options) -> Result<Plan, ImageError> {
        let Self { input, .. } = self;
        let plan = match self.format {
            Format::Igvm => igvm::load(input, options),
            Format::Elf => elf::load(input, options),
            Format::BzImage => bzimage::load(input, options),
            Format::Firmware => ovmf::load(input, options),
            Format::Manifest => manifest::load(input, &self.folder, options),
        };
        plan.map_err(|error| error.of(&input.name))
    }
}

/// The plan of a file whose format its bytes tell.
///
/// # Errors
/// As [`Image::open`] and [`Image::plan`].
pub fn open(path: &Path, options: &Options) -> Result<Plan, ImageError> {
    Image::open(path, None)?.plan(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<Format, ImageError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Image::open(file.path(), None).map(|image| image.format())
    }

    #[test]
    fn bytes_tell_the_format() {
        assert_eq!(of(b"\x7fELF\x02\x01\x01"), Ok(Format::Elf));
        let mut kernel = vec![0; 0x400];
        kernel[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        assert_eq!(of(&kernel), Ok(Format::BzImage));
    }

    #[test]
    fn what_is_not_known_is_told_with_all_that_is() {
        let error = of(&[0; 64]).unwrap_err();
        for format in Format::ALL {
            assert!(error.problem.contains(format.sign()), "{error}");
        }
        assert!(!error.image.is_empty() && error.problem.contains("--format"));
    }

    #[test]
    fn a_format_that_is_named_is_not_doubted_by_name_but_by_its_loader() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"no executable").unwrap();
        let image = Image::open(file.path(), Some(Format::Elf)).unwrap();
        let error = image.plan(&Options::default()).unwrap_err();
        assert_eq!(error.image, file.path().display().to_string());
    }
}
