//! What one call carries for its pages.
//!
//! **Invariant:** names or holds as many bytes as the pages have, or none at all.

use std::fmt;

use bytes::Bytes;
use stagepages_proto::v1::{ImageSlice, StagePagesRequest};

use super::Pages;
use crate::{addr::PAGE_BYTES, images::ImageName};

/// The contents of consecutive pages.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing but their number: zeros, or pages that the platform writes.
    LengthOnly,
    /// These bytes, which travel.
    Data(Bytes),
    /// Those of a stored image from this byte on.
    Image { name: ImageName, offset: u64 },
}

impl Content {
    /// That of the pages behind the first `pages`, without copying.
    pub(crate) fn behind(self, pages: u64) -> Self {
        let bytes = pages.saturating_mul(PAGE_BYTES);
        match self {
            Self::LengthOnly => Self::LengthOnly,
            Self::Data(data) => {
                let at = usize::try_from(bytes).map_or(data.len(), |at| at.min(data.len()));
                Self::Data(data.slice(at..))
            }
            Self::Image { name, offset } => Self::Image {
                name,
                offset: offset.saturating_add(bytes),
            },
        }
    }

    /// Puts it into the call for `pages`.
    pub(crate) fn put(&self, pages: Pages, request: &mut StagePagesRequest) {
        let length = pages.count.saturating_mul(PAGE_BYTES);
        match self {
            Self::LengthOnly => request.length = Some(length),
            Self::Data(data) => request.data = Some(data.clone()),
            Self::Image { name, offset } => {
                request.image = Some(ImageSlice {
                    name: name.to_string(),
                    offset: *offset,
                    length,
                });
            }
        }
    }
}

impl fmt::Debug for Content {
    /// Without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LengthOnly => f.write_str("LengthOnly"),
            Self::Data(data) => write!(f, "Data({:#x} bytes)", data.len()),
            Self::Image { name, offset } => write!(f, "Image({name} from {offset:#x} on)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Gpa;

    const PAGES: Pages = Pages {
        gpa: Gpa::new(0x1000),
        count: 3,
    };

    fn put(content: &Content) -> StagePagesRequest {
        let mut request = StagePagesRequest::default();
        content.put(PAGES, &mut request);
        request
    }

    #[test]
    fn each_content_is_one_source_of_the_call() {
        let name = ImageName::of_digest([7; 32]);
        let offset = 0x5000;
        let image = put(&Content::Image { name, offset }).image.unwrap();
        assert_eq!(image.name, name.to_string());
        assert_eq!((image.offset, image.length), (0x5000, 0x3000));
        assert_eq!(put(&Content::LengthOnly).length, Some(0x3000));
        let data = Content::Data(vec![1; 0x3000].into());
        let request = put(&data);
        assert_eq!(request.data.unwrap().len(), 0x3000);
        assert_eq!((request.length, request.image), (None, None));
    }

    #[test]
    fn what_is_behind_settled_pages_begins_later() {
        let mut bytes = vec![1; 0x1000];
        bytes.extend([2; 0x2000]);
        let rest = Content::Data(bytes.into()).behind(1);
        assert_eq!(rest, Content::Data(vec![2; 0x2000].into()));
        let name = ImageName::of_digest([7; 32]);
        let slice = Content::Image {
            name,
            offset: 0x5000,
        };
        let rest = Content::Image {
            name,
            offset: 0x7000,
        };
        assert_eq!(slice.behind(2), rest);
        assert_eq!(Content::LengthOnly.behind(2), Content::LengthOnly);
    }
}
