//! A launch host in a page of code: pages, kept answers, and what it attributed to whom.

use std::collections::{BTreeMap, HashMap};

use stagepages_proto::v1::{PageType, StagePagesRequest, StagePagesResponse, StageStop};
use tonic::Code;

use crate::{StagepagesError, reason};

type Answer = Result<StagePagesResponse, StagepagesError>;

/// Pages by address, each the first byte of what was installed there.
#[derive(Default)]
pub(super) struct Host {
    pub(super) pages: BTreeMap<u64, u8>,
    /// Addresses in the order of their installation by named calls.
    pub(super) order: Vec<u64>,
    answers: HashMap<String, (StagePagesRequest, StagePagesResponse)>,
    pub(super) next: u64,
}

impl Host {
    /// Applies a call, or repeats its answer.
    pub(super) fn apply(&mut self, call: &StagePagesRequest) -> Answer {
        if let Some((first, answer)) = self.answers.get(&call.request_id) {
            let same =
                (first.gpa, &first.data, &first.image) == (call.gpa, &call.data, &call.image);
            return if same {
                Ok(*answer)
            } else {
                Err(refusal(reason::REQUEST_ID_REUSED, &[]))
            };
        }
        if call.sequence.is_some_and(|number| number != self.next) {
            return Err(refusal(reason::OUT_OF_SEQUENCE, &[]));
        }
        let wanted: Vec<(u64, u8)> = contents(call)
            .into_iter()
            .zip(0..)
            .map(|(byte, nth)| (call.gpa + nth * 4096, byte))
            .collect();
        let fresh = wanted
            .iter()
            .take_while(|(gpa, _)| !self.pages.contains_key(gpa))
            .count();
        let identical_pages = wanted[fresh..]
            .iter()
            .take_while(|(gpa, byte)| self.pages.get(gpa) == Some(byte))
            .count() as u64;
        let stop = wanted.get(fresh).map(|(gpa, _)| StageStop {
            gpa: *gpa,
            page_type: PageType::Normal.into(),
            identical: identical_pages > 0,
            identical_pages,
        });
        if let (0, Some(stop)) = (fresh, stop) {
            return Err(refusal(
                reason::ALREADY_INSTALLED,
                &[
                    ("gpa", format!("{:#x}", stop.gpa)),
                    ("identical", stop.identical.to_string()),
                    ("identical_pages", identical_pages.to_string()),
                ],
            ));
        }
        self.pages.extend(wanted[..fresh].iter().copied());
        self.order
            .extend(wanted[..fresh].iter().map(|(gpa, _)| gpa));
        let answer = StagePagesResponse {
            installed_pages: fresh as u64,
            next_gpa: call.gpa + fresh as u64 * 4096,
            stop,
        };
        self.next += u64::from(call.sequence.is_some());
        self.answers
            .insert(call.request_id.clone(), (call.clone(), answer));
        Ok(answer)
    }

    /// The answer kept for a name.
    pub(super) fn kept(&self, request_id: &str) -> Option<StagePagesResponse> {
        self.answers.get(request_id).map(|(_, answer)| *answer)
    }

    /// Pages that it counted for named calls, each answer once.
    pub(super) fn attributed(&self) -> u64 {
        self.order.len() as u64
    }
}

/// What page `n` of the host's one image holds.
pub(super) fn image_byte(n: u64) -> u8 {
    u8::try_from(n + 1).unwrap()
}

/// The first byte of each page of a call.
fn contents(call: &StagePagesRequest) -> Vec<u8> {
    match (&call.data, &call.image) {
        (Some(data), None) => data.chunks(4096).map(|page| page[0]).collect(),
        (None, Some(slice)) => {
            let first = slice.offset / 4096;
            (first..first + slice.length / 4096)
                .map(image_byte)
                .collect()
        }
        both => panic!("not one source: {both:?}"),
    }
}

/// A refusal with this reason.
pub(super) fn refusal(reason: &str, metadata: &[(&'static str, String)]) -> StagepagesError {
    let metadata = metadata.iter().cloned();
    StagepagesError::refused_here(Code::Aborted, reason, "refused".into(), metadata)
}
