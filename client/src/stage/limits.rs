//! How long one call may be.
//!
//! **Invariant:** no call is longer than the daemon takes, whatever it carries.

use stagepages_proto::v1::{Limits, PageType};
use tonic::Code;

use super::{Source, source::Kind};
use crate::{StagepagesError, addr::PAGE_BYTES, reason};

/// Pages of one call that carries no bytes: 16 MiB. Not a limit of the API: it keeps a call to seconds where firmware takes a millisecond a page, so
/// that progress shows and an abort elsewhere is soon noticed.
const WITHOUT_BYTES: u64 = 4096;

/// Pages of one call, by what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallLimits {
    data: u64,
    /// 0 where the daemon knows no images.
    slice: u64,
}

impl CallLimits {
    /// What the daemon takes, and with bytes at most `most_data` pages.
    ///
    /// # Errors
    /// It takes no data at all, or does not say.
    pub(crate) fn new(limits: Option<&Limits>, most_data: u64) -> Result<Self, StagepagesError> {
        let limits =
            limits.ok_or_else(|| StagepagesError::bad_answer("the answer lacks its limits"))?;
        let data = (limits.max_data_bytes / PAGE_BYTES).min(most_data);
        if data == 0 {
            return Err(StagepagesError::bad_answer(format!(
                "the limit of {:#x} data bytes a call is less than one page",
                limits.max_data_bytes
            )));
        }
        let slice = (limits.max_slice_bytes / PAGE_BYTES).min(WITHOUT_BYTES);
        Ok(Self { data, slice })
    }

    /// Pages of one call of this type from this source, at least one.
    pub(crate) fn longest(&self, page_type: PageType, source: &Source<'_>) -> u64 {
        match (page_type, source.kind()) {
            // Firmware takes CPUID pages one by one, and so does StagePages.
            (PageType::Cpuid, _) => 1,
            (_, Kind::Data) => self.data,
            (_, Kind::Image) => self.slice.max(1),
            (_, Kind::LengthOnly) => WITHOUT_BYTES,
        }
    }

    /// Refuses an image where the daemon knows none, before it would take the call for one without contents.
    pub(crate) fn takes(&self, source: &Source<'_>) -> Result<(), StagepagesError> {
        if source.kind() != Kind::Image || self.slice > 0 {
            return Ok(());
        }
        let message = "this daemon stages from no stored images; send the contents as data";
        Err(StagepagesError::refused_here(
            Code::Unimplemented,
            reason::UNSUPPORTED_OPERATION,
            message.to_owned(),
            [("installed_pages", "0".to_owned())],
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::ImageName;

    fn limits(max_data_bytes: u64, max_slice_bytes: u64) -> Limits {
        Limits {
            max_data_bytes,
            max_slice_bytes,
            ..Limits::default()
        }
    }

    #[test]
    fn the_smaller_of_the_daemons_limit_and_ours_counts() {
        let data = Source::data(&[0; 4096][..], 4096).unwrap();
        let image = Source::image(ImageName::of_digest([0; 32]), 0, 4096).unwrap();
        let of = |data, slice| CallLimits::new(Some(&limits(data, slice)), 512).unwrap();
        let longest = |limits: CallLimits, source| limits.longest(PageType::Normal, source);
        assert_eq!(longest(of(0x3fff, 0x5000), &data), 3);
        assert_eq!(longest(of(0x3fff, 0x5000), &image), 5);
        assert_eq!(longest(of(1 << 30, 1 << 30), &data), 512);
        assert_eq!(longest(of(1 << 30, 1 << 30), &image), 4096);
        let zeros = Source::length_only(4096).unwrap();
        assert_eq!(longest(of(4096, 4096), &zeros), 4096);
        assert_eq!(of(4096, 4096).longest(PageType::Cpuid, &data), 1);
        CallLimits::new(Some(&limits(4095, 4096)), 512).unwrap_err();
        CallLimits::new(None, 512).unwrap_err();
    }

    #[test]
    fn a_daemon_without_images_is_sent_none() {
        let limits = CallLimits::new(Some(&limits(4096, 0)), 512).unwrap();
        let image = Source::image(ImageName::of_digest([0; 32]), 0, 4096).unwrap();
        let refused = limits.takes(&image).unwrap_err();
        assert_eq!(refused.reason(), Some(reason::UNSUPPORTED_OPERATION));
        limits.takes(&Source::length_only(4096).unwrap()).unwrap();
    }
}
