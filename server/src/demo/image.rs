//! The image that is staged: a file, Debian's OVMF, or the small one that comes with the demo.
//!
//! **Invariant:** staged as it is, byte for byte; only in front of it, and only up to a whole page, zeros are added.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use stagepages_client::addr::PAGE_BYTES;

use super::firmware;

/// Where distributions put the image; the first is Debian's, package ovmf.
const OVMF: [&str; 3] = [
    "/usr/share/ovmf/OVMF.fd",
    "/usr/share/OVMF/OVMF.fd",
    "/usr/share/edk2/x64/OVMF.fd",
];
/// The largest image that is read, in bytes. Firmware has a few MiB.
const LARGEST: u64 = 64 << 20;
const PAGE: usize = 4096;

/// An image of whole pages.
pub(super) struct Image {
    /// What it is, for a newcomer.
    pub(super) what: String,
    bytes: Bytes,
}

impl Image {
    /// The file, if one is given; else the best that this machine has.
    pub(super) fn choose(file: Option<&Path>) -> anyhow::Result<Self> {
        let ovmf = || OVMF.iter().map(PathBuf::from).find(|path| path.is_file());
        match (file.map(PathBuf::from), ovmf()) {
            (Some(path), _) => Self::read(&path, "the image that you named"),
            (None, Some(path)) => Self::read(&path, "a UEFI firmware as virtual machines boot it"),
            (None, None) => Ok(Self {
                what: "a tiny firmware made by this demo, which prints one line (install the package ovmf, or give --image, for a real one)"
                    .into(),
                bytes: firmware::image().into(),
            }),
        }
    }

    fn read(path: &Path, what: &str) -> anyhow::Result<Self> {
        let told = || format!("the image {}", path.display());
        let mut bytes = Vec::new();
        let file = File::open(path).with_context(told)?;
        file.take(LARGEST + 1)
            .read_to_end(&mut bytes)
            .with_context(told)?;
        ensure!(!bytes.is_empty(), "{} is empty; give another", told());
        ensure!(
            u64::try_from(bytes.len())? <= LARGEST,
            "{} has more than {LARGEST:#x} bytes, the most that the demo takes; stage it with stagectl",
            told()
        );
        Ok(Self {
            what: format!("{}, {what}", path.display()),
            bytes: whole_pages(bytes),
        })
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Its length in pages, at least one.
    pub(super) fn pages(&self) -> u64 {
        // No usize is wider than u64.
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX) / PAGE_BYTES
    }
}

/// Zeros go in front: a processor starts at the end of the image.
fn whole_pages(bytes: Vec<u8>) -> Bytes {
    match bytes.len().next_multiple_of(PAGE) - bytes.len() {
        0 => bytes.into(),
        missing => [vec![0; missing], bytes].concat().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_keeps_its_end_where_it_is() {
        assert_eq!(whole_pages(vec![7; PAGE]), vec![7; PAGE]);
        let padded = whole_pages(vec![7; PAGE + 1]);
        assert_eq!(padded.len(), 2 * PAGE);
        assert!(padded[..PAGE - 1].iter().all(|byte| *byte == 0));
        assert!(padded[PAGE - 1..].iter().all(|byte| *byte == 7));
    }

    #[test]
    fn a_missing_or_empty_file_is_named() {
        for path in ["/nonexistent/image", "/dev/null"] {
            let error = Image::choose(Some(Path::new(path)))
                .err()
                .expect("is no image");
            assert!(format!("{error:#}").contains(path), "{error:#}");
        }
    }
}
