//! What `stagectl diff` prints with `--output json`.
//!
//! ```text
//! {"verdict": "IDENTICAL" | "PREFIX" | "UNMEASURED" | "OTHER_DIGEST" | "DIVERGES",
//!  "image", "other", "state", "planned_pages", "installed_pages", "same_pages", "planned_digest", "installed_digest",
//!  "first": null | DIVERGENCE, "first_unmeasured": null | DIVERGENCE,
//!  "missing": RANGES, "extra": RANGES, "retyped": RANGES, "contents": RANGES, "unmeasured": RANGES, "moved": RANGES, "not_compared": RANGES,
//!  "repeated_in_plan", "repeated_in_installed",
//!  "settings": [{"name", "planned", "installed", "measured"}]}
//! DIVERGENCE: {"ordinal", "why", "text", "installed_at", "planned_at", "planned": AROUND, "installed": AROUND}
//! AROUND: {"before": PAGE | null, "page": PAGE | null, "after": PAGE | null}
//! PAGE:   {"ordinal", "gpa", "page_type", "hash", "name"}
//! RANGES: {"pages", "ranges", "listed": [{"gpa", "pages", "planned_at", "planned_type", "installed_at", "installed_type"}]}
//! ```
//!
//! `other` is the launch, with its `state`, or the second image, whose `state` is null; *installed* is what is of it. `first` is the first
//! page that differs in something that the platform measures (on kvm, and between platforms, in anything), and `same_pages` counts the pages before it.
//! `contents` are pages with other contents that count so, `unmeasured` those with other contents that no digest covers; the first of these before `first`
//! is `first_unmeasured`, and UNMEASURED says that nothing else differs. OTHER_DIGEST says that pages and settings are the same and the digests are
//! not: a vCPU's state was changed after creation. `why` is CONTENTS, TYPE, ORDER, MISSING, EXTRA, REPLACED or REPEATED; `installed_at` is the ordinal at which the planned page was
//! installed, `planned_at` the one at which the installed page was planned, null if there is none or it is here. `hash` is BLAKE3-256, null where it is not
//! known. At most 1000 ranges are listed of each kind, by address, `moved` in the order of the plan; `pages` and `ranges` count all. `not_compared` are
//! pages of the same type whose contents are known to nobody outside (SECRETS, UNMEASURED). `measured` says whether a setting is part of the digest.
//! Digests are null on kvm, which has none.
//!
//! **Invariant:** both forms say the same; text lists fewer ranges.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use stagepages_client::{
    diff::{Around, Comparison, Divergence, Page, Place, Range, Ranges, Setting, Why},
    words,
};

use super::{
    Other, Verdict,
    sentence::{Sides, sentence},
};
use crate::json::hex;

/// The document.
pub(super) struct Document {
    /// The image that is the plan.
    pub(super) image: String,
    pub(super) planned_digest: Option<String>,
    pub(super) other: Other,
    pub(super) verdict: Verdict,
    pub(super) comparison: Comparison,
    pub(super) settings: Vec<Setting>,
}

impl Document {
    pub(super) fn sides(&self) -> Sides {
        Sides::of(self.other.state.is_some())
    }

    /// Pages before the first that differs in what is measured.
    pub(super) fn same_pages(&self) -> u64 {
        let first = self.comparison.first.as_ref();
        first.map_or(self.comparison.planned_pages, |first| first.ordinal)
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Comparison {
            planned_pages,
            installed_pages,
            first,
            first_unmeasured,
            totals,
        } = &self.comparison;
        let state = self
            .other
            .state
            .map(|state| words::launch_state(state.into()));
        let [first, first_unmeasured] = [first, first_unmeasured].map(|it| {
            let it = it.as_ref();
            it.map(|it| divergence(it, self.sides()))
        });
        let settings = self.settings.iter().map(|it| {
            json!({
                "name": it.name, "planned": it.planned, "installed": it.installed, "measured": it.measured,
            })
        });
        let value = json!({
            "verdict": self.verdict.word(),
            "image": self.image,
            "other": self.other.name,
            "state": state,
            "planned_pages": planned_pages,
            "installed_pages": installed_pages,
            "same_pages": self.same_pages(),
            "planned_digest": self.planned_digest,
            "installed_digest": self.other.digest,
            "first": first,
            "first_unmeasured": first_unmeasured,
            "missing": ranges(&totals.missing),
            "extra": ranges(&totals.extra),
            "retyped": ranges(&totals.retyped),
            "contents": ranges(&totals.contents),
            "unmeasured": ranges(&totals.unmeasured),
            "moved": ranges(&totals.moved),
            "not_compared": ranges(&totals.unknown),
            "repeated_in_plan": totals.repeated_in_plan,
            "repeated_in_installed": totals.repeated_in_installed,
            "settings": settings.collect::<Vec<_>>(),
        });
        value.serialize(serializer)
    }
}

fn divergence(first: &Divergence, sides: Sides) -> Value {
    let (why, installed_at, planned_at) = match first.why {
        Why::Contents => ("CONTENTS", None, None),
        Why::Type => ("TYPE", None, None),
        Why::Order {
            installed_at,
            planned_at,
        } => ("ORDER", Some(installed_at), Some(planned_at)),
        Why::Missing { planned_at } => ("MISSING", None, planned_at),
        Why::Extra { installed_at } => ("EXTRA", installed_at, None),
        Why::Replaced => ("REPLACED", None, None),
        Why::Repeated { .. } => ("REPEATED", None, None),
    };
    json!({
        "ordinal": first.ordinal,
        "why": why,
        "text": sentence(first, sides),
        "installed_at": installed_at,
        "planned_at": planned_at,
        "planned": around(&first.planned),
        "installed": around(&first.installed),
    })
}

fn around(around: &Around) -> Value {
    let page = |page: &Option<Page>| page.as_ref().map(page_value);
    json!({
        "before": page(&around.before), "page": page(&around.page), "after": page(&around.after),
    })
}

fn page_value(page: &Page) -> Value {
    json!({
        "ordinal": page.ordinal,
        "gpa": page.gpa.to_string(),
        "page_type": words::page_type(page.page_type.into()),
        "hash": page.hash.map(|hash| hex(&hash)),
        "name": (!page.name.is_empty()).then_some(&*page.name),
    })
}

fn ranges(ranges: &Ranges) -> Value {
    let listed: Vec<_> = ranges.listed.iter().map(range).collect();
    json!({"pages": ranges.pages, "ranges": ranges.ranges, "listed": listed})
}

fn range(range: &Range) -> Value {
    let word = |place: Place| words::page_type(place.page_type.into());
    json!({
        "gpa": range.gpa.to_string(),
        "pages": range.pages,
        "planned_at": range.planned.map(|place| place.ordinal),
        "planned_type": range.planned.map(word),
        "installed_at": range.installed.map(|place| place.ordinal),
        "installed_type": range.installed.map(word),
    })
}
