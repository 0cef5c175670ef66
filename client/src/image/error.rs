//! Why an image is not taken.
//!
//! **Invariant:** names the structure, where it is in the file, what is wrong and the way out; never shows contents.

use std::fmt;

/// What is wrong with an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ImageError {
    /// The image's name, mostly its path. Set by who opened it.
    pub image: String,
    /// The structure: `IGVM variable header`.
    pub structure: String,
    /// Where it is in the file, in bytes; `None` if it is about the whole file.
    pub offset: Option<u64>,
    /// What is wrong, and the way out.
    pub problem: String,
}

impl ImageError {
    /// A structure that is wrong, at its place.
    #[must_use]
    pub fn at(structure: impl Into<String>, offset: u64, problem: impl Into<String>) -> Self {
        Self {
            offset: Some(offset),
            ..Self::whole(structure, problem)
        }
    }

    /// Something that is wrong with the whole file.
    #[must_use]
    pub fn whole(structure: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            image: String::new(),
            structure: structure.into(),
            offset: None,
            problem: problem.into(),
        }
    }

    /// The same, of this image, unless it names another one already.
    #[must_use]
    pub fn of(mut self, image: &str) -> Self {
        if self.image.is_empty() {
            image.clone_into(&mut self.image);
        }
        self
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.image.is_empty() {
            write!(f, "{}: ", self.image)?;
        }
        write!(f, "{}", self.structure)?;
        if let Some(offset) = self.offset {
            write!(f, " at offset {offset:#x}")?;
        }
        write!(f, ": {}", self.problem)
    }
}
