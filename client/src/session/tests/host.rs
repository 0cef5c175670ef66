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
            let same = (first.gpa, &first.data) == (call.gpa, &call.data);
            return if same {
                Ok(*answer)
            } else {
                Err(refusal(reason::REQUEST_ID_REUSED, &[]))
            };
        }
        if call.sequence.is_some_and(|number| number != self.next) {
            return Err(refusal(reason::OUT_OF_SEQUENCE, &[]));
        }
        let wanted: Vec<(u64, u8)> = call
            .data
            .iter()
            .flat_map(|data| data.chunks(4096))
            .zip(0..)
            .map(|(page, nth)| (call.gpa + nth * 4096, page[0]))
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

/// A refusal with this reason.
pub(super) fn refusal(reason: &str, metadata: &[(&'static str, String)]) -> StagepagesError {
    let metadata = metadata.iter().cloned();
    StagepagesError::refused_here(Code::Aborted, reason, "refused".into(), metadata)
}
