//! A file that is parsed: read whole, once, up to a bound.
//!
//! **Invariant:** holds no more than [`LARGEST_IMAGE`] bytes.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use bytes::Bytes;

use super::ImageError;

/// The largest file that is parsed: 1 GiB. Raw extents of a manifest are not parsed and may be larger.
pub const LARGEST_IMAGE: u64 = 1 << 30;

/// An image's bytes, and what to call it.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name, for messages; mostly its path.
    pub name: String,
    /// All of it.
    pub bytes: Bytes,
}

impl Input {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is empty, or is larger than [`LARGEST_IMAGE`].
    pub fn read(path: &Path) -> Result<Self, ImageError> {
        let name = path.display().to_string();
        match at_most(path) {
            Ok(bytes) if bytes.is_empty() => {
                Err(ImageError::whole("image", "the file is empty; give an image").of(&name))
            }
            Ok(bytes) if bytes.len() as u64 > LARGEST_IMAGE => Err(ImageError::whole(
                "image",
                format!(
                    "the file has more than {LARGEST_IMAGE:#x} bytes; stage it as raw extents of a manifest"
                ),
            )
            .of(&name)),
            Ok(bytes) => Ok(Self {
                name,
                bytes: bytes.into(),
            }),
            Err(error) => Err(ImageError::whole(
                "image",
                format!("cannot be read: {error}; give a file that this user can read"),
            )
            .of(&name)),
        }
    }
}

fn at_most(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // All of it at once, and a byte to see that there is no more: a buffer that grows is held twice while it does.
    let length = file.metadata()?.len().min(LARGEST_IMAGE) + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.take(LARGEST_IMAGE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
