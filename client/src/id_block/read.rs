//! Fields in their order, from bytes of a length that is checked first.
//!
//! **Invariant:** nothing is read past the end, and no reserved byte is passed over unless it is zero.

use crate::image::ImageError;

/// What is left of a structure.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    structure: &'static str,
    rest: &'a [u8],
    at: u64,
}

impl<'a> Fields<'a> {
    /// All of a structure.
    ///
    /// # Errors
    /// It has another length than `length` bytes.
    pub(super) fn new(
        structure: &'static str,
        bytes: &'a [u8],
        length: usize,
    ) -> Result<Self, ImageError> {
        if bytes.len() == length {
            return Ok(Self {
                structure,
                rest: bytes,
                at: 0,
            });
        }
        let problem = format!(
            "has {} bytes, where it must have {length}; give it in binary, as firmware takes it (QEMU's base64 is decoded with base64 -d)",
            bytes.len()
        );
        Err(ImageError::whole(structure, problem))
    }

    /// The next `N` bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], ImageError> {
        let Some((field, rest)) = self.rest.split_first_chunk() else {
            let problem = format!("ends here, where {N} bytes more must be; give the whole of it");
            return Err(ImageError::at(self.structure, self.at, problem));
        };
        self.rest = rest;
        self.at += N as u64;
        Ok(*field)
    }

    /// The next four bytes, little-endian.
    pub(super) fn u32(&mut self) -> Result<u32, ImageError> {
        self.bytes().map(u32::from_le_bytes)
    }

    /// The next eight bytes, little-endian.
    pub(super) fn u64(&mut self) -> Result<u64, ImageError> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// Passes over `N` bytes that are reserved.
    pub(super) fn reserved<const N: usize>(&mut self) -> Result<(), ImageError> {
        let begin = self.at;
        let field: [u8; N] = self.bytes()?;
        match (begin..).zip(field).find(|(_, byte)| *byte != 0) {
            None => Ok(()),
            Some((at, byte)) => {
                let problem = format!(
                    "is reserved and has the value {byte:#x}, where it must be zero; make the file anew with `stagectl id-block create`"
                );
                Err(ImageError::at(self.structure, at, problem))
            }
        }
    }
}
