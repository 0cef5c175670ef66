//! What staging an image came to, as a document and as a failure.
//!
//! JSON: `{"launch", "uid", "state", "session", "total_pages", "installed_pages", "identical_pages", "calls", "losses", "image", "sent_bytes", "outcome",
//! "conflict": {"gpa", "page_type"}, "in_doubt": {"gpa", "pages"}, "digest", "error": {…}}`. `outcome` is that of the pages: `complete`, `conflict`, `failed`, or `finished` if the launch
//! was finished before this command; `image` is what it was staged from, null where contents travelled with the calls or there are none; `sent_bytes` are those of contents
//! that travelled, to be stored or with calls; `digest` is what was planned, null where nothing is measured; `error` is as in a failure's document, also of
//! finishing and starting.
//!
//! **Invariant:** the counts are shown whatever the outcome, and pages in doubt are never among them.

use std::fmt;

use serde::Serialize;
use stagepages_client::{
    addr::Size,
    install::Installed,
    plan::{Extent, Plan},
    stage::StageEnd,
    v1::{Launch, PageType},
    words,
};

use crate::{
    cmd::launch::stage::report::{ConflictDocument, InDoubtDocument, ended},
    failure::Failure,
    json::{ErrorDetails, ErrorDocument, hex},
};

/// The document.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    launch: String,
    uid: String,
    state: String,
    session: String,
    total_pages: u64,
    installed_pages: u64,
    identical_pages: u64,
    calls: u64,
    losses: u64,
    image: Option<String>,
    sent_bytes: u64,
    outcome: &'static str,
    conflict: Option<ConflictDocument>,
    in_doubt: Option<InDoubtDocument>,
    digest: Option<String>,
    error: Option<ErrorDetails>,
}

impl Report {
    /// Of a launch as it is now; `installed` is none if nothing had to be staged.
    pub(super) fn new(
        session: String,
        plan: &Plan,
        planned: Option<[u8; 48]>,
        launch: &Launch,
        installed: Option<Installed>,
    ) -> Self {
        let mut report = Self {
            launch: launch.name.clone(),
            uid: launch.uid.clone(),
            state: words::launch_state(launch.state).into(),
            session,
            total_pages: plan.pages(),
            installed_pages: 0,
            identical_pages: 0,
            calls: 0,
            losses: 0,
            image: None,
            sent_bytes: 0,
            outcome: "finished",
            conflict: None,
            in_doubt: None,
            digest: planned.map(|digest| hex(&digest)),
            error: None,
        };
        if let Some(installed) = installed {
            let outcome = installed.outcome;
            report.image = installed.image.map(|image| image.to_string());
            report.sent_bytes = installed.sent_bytes;
            let (word, conflict, error) = ended(&outcome.end, wanted(plan, &outcome.end));
            report.installed_pages = outcome.mine;
            report.identical_pages = outcome.identical;
            report.calls = outcome.calls;
            report.losses = outcome.losses;
            report.outcome = word;
            report.conflict = conflict;
            report.in_doubt = InDoubtDocument::of(&outcome.in_doubt);
            report.error = error.map(|document| document.error);
        }
        report
    }

    /// The launch after finishing or starting.
    pub(super) fn now(&mut self, launch: &Launch) {
        self.state = words::launch_state(launch.state).into();
    }

    /// Finishing or starting failed.
    pub(super) fn failed(&mut self, failure: &Failure) {
        self.error = Some(failure.details().clone());
    }

    /// Why the command fails; `None` if it does not.
    pub(super) fn failure(&self) -> Option<Failure> {
        let error = self.error.clone()?;
        Some(Failure::from(ErrorDocument { error }))
    }
}

/// The type that the plan has where a page of somebody else was met.
fn wanted(plan: &Plan, end: &StageEnd) -> PageType {
    let StageEnd::Conflict(page) = end else {
        return PageType::Unspecified;
    };
    let holds = |it: &&Extent| it.gpa() <= page.gpa && page.gpa < it.end();
    let extent = plan.extents.iter().find(holds);
    extent.map_or(PageType::Unspecified, Extent::page_type)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, total) = (&self.launch, self.total_pages);
        match self.outcome {
            "finished" => write!(f, "{name}: finished before, with all {total} pages")?,
            _ => write!(
                f,
                "{name}: {} of {total} pages installed",
                self.installed_pages
            )?,
        }
        if self.identical_pages > 0 {
            write!(f, ", {} already there as wanted", self.identical_pages)?;
        }
        if let Some(doubt) = &self.in_doubt {
            write!(
                f,
                "\n{doubt}; the same command again, with the same --launch, tells"
            )?;
        }
        if let Some(image) = &self.image {
            write!(f, "\nfrom           {image}")?;
        }
        if self.outcome != "finished" {
            write!(f, "\ntravelled      {}", Size(self.sent_bytes))?;
        }
        write!(f, "\nstate          {}", self.state)?;
        match &self.digest {
            Some(digest) => write!(f, "\nplanned digest {digest}"),
            None => Ok(()),
        }
    }
}
