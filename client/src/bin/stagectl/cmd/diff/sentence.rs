//! Why the first page differs, as a sentence.
//!
//! **Invariant:** names the address, both sides, and where else each side has the page, so that nothing need be looked up.

use stagepages_client::diff::{Divergence, Page, Why};

/// What the two sides are called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sides {
    pub(super) planned: &'static str,
    pub(super) installed: &'static str,
    /// The same in a table.
    pub(super) columns: [&'static str; 2],
}

impl Sides {
    pub(super) fn of(is_launch: bool) -> Self {
        match is_launch {
            true => Self {
                planned: "the image",
                installed: "the launch",
                columns: ["planned", "installed"],
            },
            false => Self {
                planned: "the first image",
                installed: "the second image",
                columns: ["first", "second"],
            },
        }
    }
}

/// The sentence.
pub(super) fn sentence(first: &Divergence, sides: Sides) -> String {
    let Sides {
        planned, installed, ..
    } = sides;
    let gpa = |page: &Option<Page>| match page {
        Some(page) => format!("GPA {}", page.gpa),
        None => "nothing".to_owned(),
    };
    let (ours, theirs) = (gpa(&first.planned.page), gpa(&first.installed.page));
    let elsewhere = |ordinal: u64| match ordinal < first.ordinal {
        true => format!("earlier, as page {ordinal}"),
        false => format!("later, as page {ordinal}"),
    };
    match first.why {
        Why::Contents => format!("{ours} holds other bytes in {installed} than in {planned}"),
        Why::Type => {
            let word = |page: &Option<Page>| {
                page.as_ref()
                    .map_or("none", |page| page.page_type.as_str_name())
            };
            let (one, other) = (word(&first.planned.page), word(&first.installed.page));
            let short = |word: &str| word.trim_start_matches("PAGE_TYPE_").to_owned();
            let (one, other) = (short(one), short(other));
            format!("{ours} is {one} in {planned} and {other} in {installed}")
        }
        Why::Order {
            installed_at,
            planned_at,
        } => format!(
            "another order: {planned} has {ours} here, which {installed} has {}; {installed} has {theirs} here, which {planned} has {}",
            elsewhere(installed_at),
            elsewhere(planned_at)
        ),
        Why::Missing { planned_at: None } => {
            format!("{installed} has no more pages; {planned} goes on with {ours}")
        }
        Why::Missing {
            planned_at: Some(at),
        } => format!(
            "{ours} is missing in {installed}, which has {theirs} here, as {planned} has {}",
            elsewhere(at)
        ),
        Why::Extra { installed_at: None } => {
            format!("{planned} has no more pages; {installed} goes on with {theirs}")
        }
        Why::Extra {
            installed_at: Some(at),
        } => format!(
            "{theirs} is not in {planned}, which has {ours} here, as {installed} has {}",
            elsewhere(at)
        ),
        Why::Replaced => format!(
            "{ours} is missing in {installed}, which has {theirs} here, which is not in {planned}"
        ),
        Why::Repeated { first_at, in_plan } => {
            let (side, page) = match in_plan {
                true => (planned, ours),
                false => (installed, theirs),
            };
            format!(
                "{side} has {page} here again, after page {first_at}; a page is installed only once"
            )
        }
    }
}
