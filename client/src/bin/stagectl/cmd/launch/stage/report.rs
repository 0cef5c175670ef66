//! What staging came to, as a document and as a failure.
//!
//! JSON: `{"launch", "uid", "session", "gpa", "page_type", "total_pages", "installed_pages", "identical_pages", "next_gpa", "calls",
//! "losses", "image", "sent_bytes", "outcome", "conflict": {"gpa", "page_type"}, "in_doubt": {"gpa", "pages"}, "error": {…}}`. `outcome` is `complete`,
//! `conflict` or `failed`; `image` is what it was staged from, null where contents travelled with the calls, and `sent_bytes` are those of contents that travelled
//! at all; `session` is null without a name, the last three where they do not apply, and `error` is as in a failure's
//! document.
//!
//! **Invariant:** the counts are shown whatever the outcome, and pages in doubt are never among them.

use std::fmt;

use serde::Serialize;
use stagepages_client::{
    LaunchRef,
    addr::PAGE_BYTES,
    install::Installed,
    plan::Extent,
    reason,
    stage::{Conflict, Pages, StageEnd},
    v1, words,
};

use crate::{
    failure::Failure,
    json::{ErrorDetails, ErrorDocument},
};

const REPEAT: &str = "repeat the command once that is mended: pages that are there as wanted are counted as identical";

/// The document.
#[derive(Debug, Serialize)]
pub(super) struct Staged {
    launch: String,
    uid: String,
    session: Option<String>,
    gpa: String,
    page_type: String,
    total_pages: u64,
    installed_pages: u64,
    identical_pages: u64,
    next_gpa: String,
    calls: u64,
    losses: u64,
    image: Option<String>,
    sent_bytes: u64,
    outcome: &'static str,
    conflict: Option<ConflictDocument>,
    in_doubt: Option<InDoubtDocument>,
    error: Option<ErrorDetails>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ConflictDocument {
    gpa: String,
    page_type: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct InDoubtDocument {
    gpa: String,
    pages: u64,
}

impl InDoubtDocument {
    /// The pages from the first to the last in doubt: on one stream they are neighbours.
    pub(crate) fn of(doubt: &[Pages]) -> Option<Self> {
        let (first, last) = (doubt.first()?, doubt.last()?);
        let between = last.gpa.bytes().saturating_sub(first.gpa.bytes()) / PAGE_BYTES;
        Some(Self {
            gpa: first.gpa.to_string(),
            pages: between + last.count,
        })
    }
}

impl fmt::Display for InDoubtDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "in doubt: whether {} pages at GPA {} are installed, and how many of them",
            self.pages, self.gpa
        )
    }
}

impl Staged {
    /// The document of what came of `extent`.
    pub(super) fn new(
        launch: &LaunchRef,
        session: Option<&str>,
        extent: &Extent,
        installed: &Installed,
    ) -> Self {
        let (report, page_type) = (&installed.outcome, extent.page_type());
        let (outcome, conflict, error) = ended(&report.end, page_type);
        Self {
            launch: launch.name().to_owned(),
            uid: launch.uid().to_owned(),
            session: session.map(str::to_owned),
            gpa: extent.gpa().to_string(),
            page_type: words::page_type(page_type.into()).into(),
            total_pages: report.total_pages,
            installed_pages: report.mine,
            identical_pages: report.identical,
            next_gpa: report.next_gpa.to_string(),
            calls: report.calls,
            losses: report.losses,
            image: installed.image.map(|image| image.to_string()),
            sent_bytes: installed.sent_bytes,
            outcome,
            conflict,
            in_doubt: InDoubtDocument::of(&report.in_doubt),
            error: error.map(|document| document.error),
        }
    }

    /// Why the command fails; `None` if it does not.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.error
            .clone()
            .map(|error| Failure::from(ErrorDocument { error }))
    }
}

impl fmt::Display for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} of {} pages installed at GPA {}",
            self.launch, self.installed_pages, self.total_pages, self.gpa
        )?;
        if self.identical_pages > 0 {
            write!(f, ", {} already there as wanted", self.identical_pages)?;
        }
        if self.outcome != "complete" {
            write!(f, "; stopped at GPA {}", self.next_gpa)?;
        }
        match &self.in_doubt {
            Some(doubt) => write!(
                f,
                "\n{doubt}{}",
                match &self.session {
                    Some(_) => "; the same command again, with the same --session, tells",
                    None => "",
                }
            ),
            None => Ok(()),
        }
    }
}

/// How it ended: the word, the page that was met, and why the command fails, if it does. `wanted` is the type of the page that was met.
pub(crate) fn ended(
    end: &StageEnd,
    wanted: v1::PageType,
) -> (
    &'static str,
    Option<ConflictDocument>,
    Option<ErrorDocument>,
) {
    match end {
        StageEnd::Complete => ("complete", None, None),
        StageEnd::Conflict(page) => {
            let conflict = ConflictDocument {
                gpa: page.gpa.to_string(),
                page_type: type_word(*page),
            };
            ("conflict", Some(conflict), Some(differs(*page, wanted)))
        }
        StageEnd::Failed(error) => ("failed", None, Some(ErrorDocument::from(error))),
        StageEnd::Unreadable(error) => {
            let what = format!("cannot read the source: {error}");
            ("failed", None, Some(ErrorDocument::new(what, REPEAT)))
        }
    }
}

/// A conflict as an error, with the reason that the daemon has for a call that begins at such a page.
fn differs(page: Conflict, wanted: v1::PageType) -> ErrorDocument {
    let reason = reason::ALREADY_INSTALLED;
    let how = if page.page_type == wanted || page.page_type == v1::PageType::Unspecified {
        "with other contents".to_owned()
    } else {
        format!(
            "as {}, not as {}",
            type_word(page),
            words::page_type(wanted.into())
        )
    };
    let what = format!(
        "{reason}: the page at GPA {} is already installed, {how}",
        page.gpa
    );
    let mut document = ErrorDocument::new(what, reason::remedy(reason).unwrap_or_default());
    document.error.reason = Some(reason.to_owned());
    document
}

fn type_word(page: Conflict) -> String {
    words::page_type(page.page_type.into()).into()
}

#[cfg(test)]
mod tests {
    use std::io;

    use stagepages_client::{StagepagesError, addr::Gpa, session::Outcome};
    use tonic::Status;

    use super::*;

    fn staged(end: StageEnd, in_doubt: Option<Pages>) -> Staged {
        let report = Outcome {
            total_pages: 8,
            mine: 5,
            identical: 1,
            next_gpa: Gpa::new(0x6000),
            calls: 2,
            data_bytes: 0x8000,
            losses: 0,
            in_doubt: in_doubt.into_iter().collect(),
            end,
        };
        let extent = Extent::zeros(Gpa::new(0), v1::PageType::Normal, 8, "pages").unwrap();
        let installed = Installed {
            outcome: report,
            image: None,
            sent_bytes: 0x8000,
        };
        Staged::new(&LaunchRef::from("vm-1"), Some("boot"), &extent, &installed)
    }

    #[test]
    fn only_a_complete_source_is_a_success() {
        assert!(staged(StageEnd::Complete, None).failure().is_none());
        let conflict = Conflict {
            gpa: Gpa::new(0x6000),
            page_type: v1::PageType::Zero,
        };
        assert!(
            staged(StageEnd::Conflict(conflict), None)
                .failure()
                .is_some()
        );
        assert!(
            staged(
                StageEnd::Unreadable(io::ErrorKind::UnexpectedEof.into()),
                None
            )
            .failure()
            .is_some()
        );
    }

    #[test]
    fn counts_are_shown_however_it_ends() {
        let conflict = Conflict {
            gpa: Gpa::new(0x6000),
            page_type: v1::PageType::Zero,
        };
        let staged = staged(StageEnd::Conflict(conflict), None);
        assert_eq!(
            staged.to_string(),
            "launches/vm-1: 5 of 8 pages installed at GPA 0x0, 1 already there as wanted; stopped at GPA 0x6000"
        );
        let json = serde_json::to_value(&staged).unwrap();
        assert_eq!(
            (json["installed_pages"].as_u64(), json["outcome"].as_str()),
            (Some(5), Some("conflict"))
        );
        assert_eq!(
            json["error"]["what"],
            "ALREADY_INSTALLED: the page at GPA 0x6000 is already installed, as ZERO, not as NORMAL"
        );
        assert_eq!(
            json["conflict"],
            serde_json::json!({"gpa": "0x6000", "page_type": "ZERO"})
        );
    }

    #[test]
    fn pages_in_doubt_are_named() {
        let lost = StagepagesError::from(Status::unavailable("connection reset"));
        let staged = staged(
            StageEnd::Failed(lost),
            Some(Pages {
                gpa: Gpa::new(0x6000),
                count: 2,
            }),
        );
        assert!(staged.to_string().ends_with(
            "in doubt: whether 2 pages at GPA 0x6000 are installed, and how many of them; the same command again, with the same --session, tells"
        ));
        assert_eq!(
            serde_json::to_value(&staged).unwrap()["error"]["code"],
            "UNAVAILABLE"
        );
    }
}
