//! A structure in the image: its numbers in order, little-endian, each with its place in the file.
//!
//! **Invariant:** reads no byte outside the structure, and no structure outside the file.

use crate::image::ImageError;

/// What of a structure is not read yet.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    structure: &'static str,
    bytes: &'a [u8],
    offset: u64,
}

impl<'a> Fields<'a> {
    /// The `length` bytes of `image` from `offset` on.
    ///
    /// # Errors
    /// They are not all in the file.
    pub(super) fn at(
        structure: &'static str,
        image: &'a [u8],
        offset: u64,
        length: u64,
    ) -> Result<Self, ImageError> {
        let bytes = part(image, offset, length).ok_or_else(|| {
            let problem = format!(
                "it has {length:#x} bytes, and the file ends at {:#x}; give the whole image",
                image.len()
            );
            ImageError::at(structure, offset, problem)
        })?;
        Ok(Self {
            structure,
            bytes,
            offset,
        })
    }

    /// At least `length` bytes of a structure that is `bytes`, at `offset` of the file.
    ///
    /// # Errors
    /// It is shorter.
    pub(super) fn of(
        structure: &'static str,
        bytes: &'a [u8],
        offset: u64,
        length: u64,
    ) -> Result<Self, ImageError> {
        if (bytes.len() as u64) < length {
            let problem = format!(
                "it has {:#x} bytes and not the {length:#x} that its kind has; give an intact image",
                bytes.len()
            );
            return Err(ImageError::at(structure, offset, problem));
        }
        Ok(Self {
            structure,
            bytes,
            offset,
        })
    }

    /// The `length` bytes of `image` that begin `distance` bytes before its end, as the GUID table gives places.
    ///
    /// # Errors
    /// They are not all in the file.
    pub(super) fn before_end(
        structure: &'static str,
        image: &'a [u8],
        distance: u32,
        length: u64,
    ) -> Result<Self, ImageError> {
        let offset = (image.len() as u64)
            .checked_sub(distance.into())
            .ok_or_else(|| {
                let problem = format!(
                    "the GUID table says that it begins {distance:#x} bytes before the end, and the file has {:#x}; give the whole image",
                    image.len()
                );
                ImageError::whole(structure, problem)
            })?;
        Self::at(structure, image, offset, length)
    }

    /// Where the next field is in the file.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// What is wrong with it, before the next field.
    pub(super) fn error(&self, problem: impl Into<String>) -> ImageError {
        ImageError::at(self.structure, self.offset, problem)
    }

    /// The next `N` bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], ImageError> {
        let Some((first, rest)) = self.bytes.split_first_chunk::<N>() else {
            let problem = format!(
                "it ends {:#x} bytes on, before a field of {N:#x}; give an intact image",
                self.bytes.len()
            );
            return Err(self.error(problem));
        };
        self.bytes = rest;
        self.offset += N as u64;
        Ok(*first)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ImageError> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ImageError> {
        self.bytes().map(u64::from_le_bytes)
    }
}

/// `length` bytes of `image` from `offset` on, if it has them.
pub(super) fn part(image: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let length = usize::try_from(length).ok()?;
    image.get(start..)?.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order_and_not_beyond_the_structure() {
        let image = [9, 1, 0, 2, 0, 0, 0, 3, 9];
        let mut fields = Fields::at("thing", &image, 1, 7).unwrap();
        assert_eq!((fields.bytes(), fields.u32()), (Ok([1, 0]), Ok(2)));
        let text = fields.bytes::<2>().unwrap_err().to_string();
        assert_eq!(
            text,
            "thing at offset 0x7: it ends 0x1 bytes on, before a field of 0x2; give an intact image"
        );
    }

    #[test]
    fn a_structure_outside_the_file_is_named_with_its_place() {
        for (offset, length) in [(0, 4), (3, 1), (4, 0), (u64::MAX, 1), (1, u64::MAX)] {
            let error = Fields::at("thing", &[0; 3], offset, length).unwrap_err();
            assert_eq!(error.offset, Some(offset));
            assert!(error.problem.contains("the file ends at 0x3"), "{error}");
        }
        Fields::at("thing", &[0; 3], 3, 0).unwrap();
        let error = Fields::before_end("thing", &[0; 3], 4, 0).unwrap_err();
        assert!(
            error.problem.contains("0x4 bytes before the end"),
            "{error}"
        );
    }
}
