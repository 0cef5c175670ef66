//! Checks that every request goes through: names, enumerations, extents. Pure.

use std::fmt;

use bytes::Bytes;
use stagepages_host::launch::{CallKey, MAX_REQUEST_ID, RequestId};
use stagepages_images::ImageDigest;
use stagepages_kvm::{GfnRange, Gpa, PAGE_SIZE, PageType, RangeError};
use stagepages_proto::v1;

use super::{image_service, reason::Reason, status::ApiError};
use crate::daemon::{MAX_DATA_BYTES, MAX_SLICE_BYTES};

/// Longest id of a launch, in bytes.
pub(super) const MAX_ID: usize = 63;

/// An id, if it is one.
pub(super) fn id(id: &str) -> Option<&str> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let first = id.bytes().next()?;
    (id.len() <= MAX_ID && first.is_ascii_alphanumeric() && id.bytes().all(good)).then_some(id)
}

/// The id in a name of the form launches/{id}.
pub(super) fn launch_name(name: &str) -> Result<&str, ApiError> {
    name.strip_prefix("launches/").and_then(id).ok_or_else(|| {
        let rule = "must be launches/{id}, the id 1 to 63 of A-Z a-z 0-9 . _ - and starting with a letter or digit";
        ApiError::new(Reason::MalformedRequest, format!("name {name:?} {rule}")).field("name", rule)
    })
}

/// A page type that a caller may name.
pub(super) fn page_type(number: i32) -> Result<PageType, ApiError> {
    let rule = "must be one of PAGE_TYPE_NORMAL, ZERO, UNMEASURED, SECRETS, CPUID";
    match v1::PageType::try_from(number) {
        Ok(v1::PageType::Normal) => Ok(PageType::Normal),
        Ok(v1::PageType::Zero) => Ok(PageType::Zero),
        Ok(v1::PageType::Unmeasured) => Ok(PageType::Unmeasured),
        Ok(v1::PageType::Secrets) => Ok(PageType::Secrets),
        Ok(v1::PageType::Cpuid) => Ok(PageType::Cpuid),
        Ok(v1::PageType::Unspecified) => Err(ApiError::new(
            Reason::MalformedRequest,
            format!("page_type is unspecified; it {rule}"),
        )
        .field("page_type", rule)),
        Err(unknown) => Err(ApiError::new(
            Reason::MalformedRequest,
            format!("page_type {} is unknown; it {rule}", unknown.0),
        )
        .field("page_type", rule)),
    }
}

/// What a call is known by.
pub(super) fn call_key(sequence: Option<u64>, request_id: &str) -> Result<CallKey, ApiError> {
    let rule = format!("has {} bytes; use 1 to {MAX_REQUEST_ID}", request_id.len());
    let named = (!request_id.is_empty()).then(|| RequestId::new(request_id.as_bytes()));
    let too_long = || {
        ApiError::new(Reason::MalformedRequest, format!("request_id {rule}"))
            .field("request_id", &rule)
    };
    let request_id = named.map(|named| named.ok_or_else(too_long)).transpose()?;
    Ok(CallKey {
        sequence,
        request_id,
    })
}

/// An extent as submitted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Submitted {
    pub(super) range: GfnRange,
    pub(super) page_type: PageType,
    pub(super) source: Source,
}

/// Where an extent's contents are.
#[derive(Clone, PartialEq)]
pub(super) enum Source {
    /// In the request.
    Data(Bytes),
    /// In a stored image, from this byte on.
    Image(ImageDigest, u64),
    /// Nowhere: it has none.
    Blank,
}

impl fmt::Debug for Source {
    /// Without contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(data) => write!(f, "Data({} bytes)", data.len()),
            Self::Image(digest, from) => write!(f, "Image({digest}, {from:#x})"),
            Self::Blank => f.write_str("Blank"),
        }
    }
}

/// The extent of a request, its shape checked. Where it lies and what it may hold is the launch's to say.
pub(super) fn extent(
    gpa: u64,
    page_type_number: i32,
    data: Option<Bytes>,
    length: Option<u64>,
    image: Option<&v1::ImageSlice>,
) -> Result<Submitted, ApiError> {
    let page_type = page_type(page_type_number)?;
    let gpa = Gpa::new(gpa);
    let invalid = |field: &str, text: String| {
        let error = ApiError::new(Reason::InvalidExtent, text.clone())
            .gpa(gpa)
            .meta("page_type", page_type);
        error.meta("installed_pages", 0).field(field, &text)
    };
    let (field, length, source) = match (data, length, image) {
        (Some(data), None, None) => ("data", data.len() as u64, Source::Data(data)),
        (None, Some(length), None) => ("length", length, Source::Blank),
        (None, None, Some(slice)) => {
            let digest = image_service::digest("image.name", &slice.name)?;
            if !slice.offset.is_multiple_of(PAGE_SIZE) {
                let text = format!("{:#x} is no multiple of {PAGE_SIZE:#x} bytes", slice.offset);
                return Err(invalid("image.offset", text));
            }
            if slice.length > MAX_SLICE_BYTES {
                let text = format!(
                    "{:#x} bytes of an image; take at most {MAX_SLICE_BYTES:#x} in one call",
                    slice.length
                );
                return Err(invalid("image.length", text));
            }
            (
                "image.length",
                slice.length,
                Source::Image(digest, slice.offset),
            )
        }
        (None, None, None) => {
            let text = "none of data, length and image is set; set data or image for contents, or length for pages without";
            return Err(invalid("data", text.to_owned()));
        }
        (data, length, _) => {
            let field = if data.is_some() && length.is_some() {
                "length"
            } else {
                "image"
            };
            let text = "more than one of data, length and image is set; set data or image for contents, or length for pages without";
            return Err(invalid(field, text.to_owned()));
        }
    };
    let mistake = match (page_type, &source) {
        (PageType::Zero | PageType::Secrets, Source::Data(_) | Source::Image(..)) => {
            Some("takes no data; set length instead")
        }
        (PageType::Unmeasured | PageType::Cpuid, Source::Blank) => Some("needs data, not length"),
        (PageType::Cpuid, Source::Image(..)) => Some("needs data, not an image"),
        (PageType::Cpuid, Source::Data(_)) if length > PAGE_SIZE => {
            Some("takes exactly one page of data")
        }
        (PageType::Normal, _)
        | (PageType::Zero | PageType::Secrets, Source::Blank)
        | (PageType::Unmeasured, Source::Data(_) | Source::Image(..))
        | (PageType::Cpuid, Source::Data(_)) => None,
    };
    if let Some(mistake) = mistake {
        return Err(invalid(
            field,
            format!("an extent of page_type {page_type} {mistake}"),
        ));
    }
    if matches!(source, Source::Data(_)) && length > MAX_DATA_BYTES {
        let text = format!("data has {length} bytes; send at most {MAX_DATA_BYTES} in one call");
        return Err(ApiError::new(Reason::MessageTooLarge, text.clone())
            .gpa(gpa)
            .field("data", &text));
    }
    let range = GfnRange::from_bytes(gpa, length).map_err(|error| {
        let field = match error {
            RangeError::UnalignedAddress { .. } | RangeError::BeyondMemory { .. } => "gpa",
            RangeError::UnalignedLength { .. } | RangeError::Empty { .. } => field,
        };
        invalid(field, error.to_string())
    })?;
    Ok(Submitted {
        range,
        page_type,
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_launches_with_a_good_id_are_names() {
        assert_eq!(launch_name("launches/vm-1").unwrap(), "vm-1");
        for bad in [
            "",
            "vm-1",
            "launches/",
            "launches/-a",
            "launches/a b",
            "launches/a\n",
            "launches/a/b",
            &format!("launches/{}", "a".repeat(64)),
        ] {
            assert_eq!(
                launch_name(bad).unwrap_err().reason(),
                Reason::MalformedRequest,
                "{bad:?}"
            );
        }
        launch_name(&format!("launches/{}", "a".repeat(63))).unwrap();
    }

    #[test]
    fn an_extent_has_a_type_a_source_and_a_shape() {
        let normal = v1::PageType::Normal.into();
        let page = Bytes::from_static(&[0; 4096]);
        extent(0, normal, Some(page.clone()), None, None).unwrap();
        let reason = |result: Result<Submitted, ApiError>| result.unwrap_err().reason();
        assert_eq!(
            reason(extent(0, 0, Some(page.clone()), None, None)),
            Reason::MalformedRequest
        );
        assert_eq!(
            reason(extent(0, 77, Some(page.clone()), None, None)),
            Reason::MalformedRequest
        );
        assert_eq!(
            reason(extent(0, normal, Some(page.clone()), Some(4096), None)),
            Reason::InvalidExtent
        );
        assert_eq!(
            reason(extent(0, normal, None, None, None)),
            Reason::InvalidExtent
        );
        assert_eq!(
            reason(extent(1, normal, Some(page.clone()), None, None)),
            Reason::InvalidExtent
        );
        assert_eq!(
            reason(extent(0, normal, Some(page.slice(1..)), None, None)),
            Reason::InvalidExtent
        );
        assert_eq!(
            reason(extent(0, normal, Some(Bytes::new()), None, None)),
            Reason::InvalidExtent
        );
        assert_eq!(
            reason(extent(u64::MAX - 4095, normal, Some(page), None, None)),
            Reason::InvalidExtent
        );
        assert_eq!(
            reason(extent(
                0,
                normal,
                Some(Bytes::from(vec![0; (2 << 20) + 4096])),
                None,
                None
            )),
            Reason::MessageTooLarge
        );
    }
}
