//! How messages that hold page contents are printed: without them.
//!
//! A message can end up in a log line or a panic of whoever has it: `{request:?}` is quickly written. `tests/generated.rs` keeps the generator from deriving
//! `Debug` for these.
//!
//! **Invariant:** no byte of a page is printed, only how many there are.

use std::fmt;

use crate::v1::{
    RejectedCpuid, StagePagesRequest, WriteImageRequest, write_image_request::Content,
};

/// So many bytes.
struct Length(usize);

impl fmt::Debug for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0)
    }
}

impl fmt::Debug for StagePagesRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            uid,
            gpa,
            page_type: _,
            data,
            length,
            sequence,
            request_id,
            image,
        } = self;
        f.debug_struct("StagePagesRequest")
            .field("name", name)
            .field("uid", uid)
            .field("gpa", gpa)
            .field("page_type", &self.page_type())
            .field("data", &data.as_ref().map(|data| Length(data.len())))
            .field("length", length)
            .field("sequence", sequence)
            .field("request_id", request_id)
            .field("image", image)
            .finish()
    }
}

impl fmt::Debug for WriteImageRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            size,
            upload_id,
            offset,
            content,
        } = self;
        f.debug_struct("WriteImageRequest")
            .field("name", name)
            .field("size", size)
            .field("upload_id", upload_id)
            .field("offset", offset)
            .field("content", content)
            .finish()
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(data) => f.debug_tuple("Data").field(&Length(data.len())).finish(),
            Self::Zeros(zeros) => f.debug_tuple("Zeros").field(zeros).finish(),
        }
    }
}

impl fmt::Debug for RejectedCpuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            gpa,
            differences,
            corrected_page,
        } = self;
        f.debug_struct("RejectedCpuid")
            .field("gpa", gpa)
            .field("differences", &differences.len())
            .field("corrected_page", &Length(corrected_page.len()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{PageType, StagePagesStreamRequest};

    #[test]
    fn no_byte_of_a_page_is_printed() {
        let page = vec![0x41; 4096];
        let stage = StagePagesRequest {
            name: "launches/a".to_owned(),
            page_type: PageType::Normal.into(),
            data: Some(page.clone().into()),
            ..StagePagesRequest::default()
        };
        let streamed = StagePagesStreamRequest {
            request: Some(stage.clone()),
        };
        let written = WriteImageRequest {
            content: Some(Content::Data(page.clone().into())),
            ..WriteImageRequest::default()
        };
        let rejected = RejectedCpuid {
            corrected_page: page.into(),
            ..RejectedCpuid::default()
        };
        for (printed, told) in [
            (format!("{stage:?}"), "launches/a"),
            (format!("{streamed:#?}"), "Normal"),
            (format!("{written:?}"), "Data("),
            (format!("{rejected:?}"), "gpa: 0"),
        ] {
            assert!(
                printed.contains("[4096 bytes]") && printed.contains(told),
                "{printed}"
            );
            assert!(
                !printed.contains("AAAA") && !printed.contains("65"),
                "{printed}"
            );
        }
    }
}
