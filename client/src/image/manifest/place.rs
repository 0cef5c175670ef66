//! The text, and where in it something is wrong.

use toml::{Spanned, de::Error};

use crate::{image::ImageError, plain};

/// A manifest's text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a>(pub(super) &'a str);

impl<'a> Text<'a> {
    pub(super) fn new(bytes: &'a [u8], largest: usize) -> Result<Self, ImageError> {
        if bytes.len() > largest {
            let problem = format!(
                "{:#x} bytes, and {largest:#x} are read; put contents into files",
                bytes.len()
            );
            return Err(ImageError::whole("manifest", problem));
        }
        std::str::from_utf8(bytes).map(Self).map_err(|error| {
            let problem = "no UTF-8 text; write it as TOML";
            ImageError::at("manifest", error.valid_up_to() as u64, problem)
        })
    }

    /// What is wrong with the value of a key.
    pub(super) fn at<T>(self, value: &Spanned<T>, key: &str, problem: &str) -> ImageError {
        self.wrong(value.span().start, format!("`{key}`: {}", plain(problem)))
    }

    /// What the parser says.
    pub(super) fn refused(self, mut error: Error) -> ImageError {
        let offset = error.span().map_or(0, |span| span.start);
        // Without the text it tells the message and the key, and no picture of the line.
        error.set_input(None);
        self.wrong(offset, plain(error.to_string().trim()))
    }

    fn wrong(self, offset: usize, problem: String) -> ImageError {
        let before = self.0.get(..offset).unwrap_or_default();
        let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
        ImageError::at(format!("manifest line {line}"), offset as u64, problem)
    }
}
