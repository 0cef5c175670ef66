//! One cut of the plan on its way into the launch.
//!
//! **Invariant:** a call is sent again only with the name and the content it had; the name changes when, and only when, it was applied.

use std::fmt;

use stagepages_proto::v1::{PageType, StagePagesRequest};

use super::name::CutName;
use crate::{
    LaunchRef, StagepagesError,
    stage::{Pages, content::Content},
};

/// What is left of a cut.
pub(super) struct Piece {
    pub(super) page_type: PageType,
    /// The pages that are not settled.
    pub(super) rest: Pages,
    /// Their contents.
    content: Content,
    name: CutName,
    /// Calls of this cut that were applied.
    slot: u32,
    /// Whether the launch host has to be asked before the call is sent.
    pub(super) ask: bool,
    /// Whether the call may have been applied, for all that is known.
    pub(super) doubt: bool,
    /// The refusal that says that the name stands for another content.
    refusal: Option<StagepagesError>,
}

impl Piece {
    /// A whole cut. `asked_first` where a predecessor can have been.
    pub(super) fn new(
        name: CutName,
        page_type: PageType,
        cut: Pages,
        content: Content,
        asked_first: bool,
    ) -> Self {
        Self {
            page_type,
            rest: cut,
            content,
            name,
            slot: 0,
            ask: asked_first,
            doubt: asked_first,
            refusal: None,
        }
    }

    /// The name of the call for what is left.
    pub(super) fn request_id(&self) -> String {
        self.name.call(self.slot)
    }

    /// The call for what is left.
    pub(super) fn request(&self, launch: &LaunchRef, sequence: Option<u64>) -> StagePagesRequest {
        let mut request = StagePagesRequest {
            name: launch.name().into(),
            uid: launch.uid().into(),
            gpa: self.rest.gpa.bytes(),
            page_type: self.page_type.into(),
            sequence,
            request_id: self.request_id(),
            ..StagePagesRequest::default()
        };
        self.content.put(self.rest, &mut request);
        request
    }

    /// Nobody knows whether the call was applied.
    pub(super) fn in_doubt(&mut self) {
        self.ask = true;
        self.doubt = true;
    }

    /// The name stands for another content: for the rest behind identical pages that a predecessor met, or else for what is not ours.
    pub(super) fn name_taken(&mut self, refusal: StagepagesError) {
        self.in_doubt();
        self.refusal = Some(refusal);
    }

    /// The refusal, if the name was found taken.
    pub(super) fn take_refusal(&mut self) -> Option<StagepagesError> {
        self.refusal.take()
    }

    /// Its call was applied, or is known never to be; the next is another one.
    pub(super) fn answered(&mut self, applied: bool) {
        self.slot += u32::from(applied);
        self.ask = false;
        self.doubt = false;
    }

    /// Cuts the first `pages` off, if there are any; false if nothing is left.
    pub(super) fn settled(&mut self, pages: u64) -> bool {
        if pages == 0 {
            return true;
        }
        let Some(rest) = self.rest.behind(pages) else {
            return false;
        };
        let whole = std::mem::replace(&mut self.content, Content::LengthOnly);
        self.content = whole.behind(pages);
        self.rest = rest;
        true
    }
}

impl fmt::Debug for Piece {
    /// Without the contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Piece")
            .field("rest", &self.rest)
            .field("request_id", &self.request_id())
            .field("ask", &self.ask)
            .field("doubt", &self.doubt)
            .finish_non_exhaustive()
    }
}
