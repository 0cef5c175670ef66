//! What `stagectl diff` prints for people: what it is, the first page that differs, everything that differs, and the digests.
//!
//! **Invariant:** the first line says whether anything differs; addresses and hashes are whole, to be copied.

use std::fmt;

use stagepages_client::{
    diff::{Around, Divergence, Page, Place, Range, Ranges},
    plain, words,
};

use super::{
    Verdict,
    document::Document,
    sentence::{Sides, sentence},
};
use crate::{json::hex, table::Table};

/// Ranges of a kind that are shown; JSON has more.
const SHOWN: usize = 8;

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", plain(&self.headline()))?;
        let comparison = &self.comparison;
        if let Some(first) = &comparison.first {
            self.first(f, "first difference", first)?;
        } else if let Some(first) = &comparison.first_unmeasured {
            self.first(f, "first difference, not in the digest", first)?;
        }
        self.totals(f)?;
        if !self.settings.is_empty() {
            let [one, other] = self.sides().columns.map(str::to_uppercase);
            let mut table = Table::new(["SETTING", &one, &other, "IN THE DIGEST"]);
            for it in &self.settings {
                let measured = if it.measured { "yes" } else { "no" };
                table.row([
                    it.name.clone(),
                    it.planned.clone(),
                    it.installed.clone(),
                    measured.to_owned(),
                ]);
            }
            write!(f, "\n\nother settings:\n{table}")?;
        }
        if let (Some(planned), Some(installed)) = (&self.planned_digest, &self.other.digest) {
            let [one, other] = self.sides().columns;
            write!(
                f,
                "\n\n{one:<9} digest  {planned}\n{other:<9} digest  {installed}"
            )?;
        }
        Ok(())
    }
}

impl Document {
    fn headline(&self) -> String {
        let (planned, installed) = (
            self.comparison.planned_pages,
            self.comparison.installed_pages,
        );
        let (other, image) = (self.other.title(), &self.image);
        match self.verdict {
            Verdict::Identical => format!("{other} is IDENTICAL to {image}: {}", count(planned)),
            Verdict::Prefix => {
                format!("{other} is {image} so far: {installed} of {planned} pages, all as planned")
            }
            Verdict::Unmeasured => {
                let pages = count(planned);
                format!(
                    "{other} has the SAME DIGEST as {image}, of {pages}, and OTHER UNMEASURED CONTENTS"
                )
            }
            Verdict::OtherDigest => {
                let pages = count(planned);
                format!("{other} has all of {image}, {pages}, its settings, and ANOTHER DIGEST")
            }
            Verdict::Diverges if self.comparison.has_measured() => {
                let pages = count(planned);
                let unmeasured = match self.comparison.is_identical() {
                    true => "",
                    false => "OTHER UNMEASURED CONTENTS and ",
                };
                format!("{other} has all of {image}, {pages}, and {unmeasured}OTHER SETTINGS")
            }
            Verdict::Diverges => {
                let same = self.same_pages();
                format!(
                    "{other} DIVERGES from {image} after {}, of {planned} planned and {installed} installed",
                    count(same)
                )
            }
        }
    }

    /// The page, and its neighbours on either side.
    fn first(&self, f: &mut fmt::Formatter<'_>, what: &str, first: &Divergence) -> fmt::Result {
        let why = sentence(first, self.sides());
        write!(f, "\n\n{what}, page {}: {}", first.ordinal, plain(&why))?;
        let mut table = Table::new(["", "", "PAGE", "GPA", "TYPE", "BLAKE3", "OF"]);
        for (side, around) in [("planned", &first.planned), ("installed", &first.installed)] {
            let Around {
                before,
                page,
                after,
            } = around;
            for (mark, page) in [("", before), (">", page), ("", after)] {
                table.row(row(mark, side, page.as_ref()));
            }
        }
        write!(f, "\n{table}")
    }

    fn totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = &self.comparison.totals;
        let Sides {
            planned,
            installed,
            columns,
        } = self.sides();
        let missing = format!("only in {planned}");
        let extra = format!("only in {installed}");
        for (name, ranges) in [
            (missing.as_str(), &totals.missing),
            (extra.as_str(), &totals.extra),
            ("of another type", &totals.retyped),
            ("with other contents", &totals.contents),
            (
                "with other contents, which are not in the digest",
                &totals.unmeasured,
            ),
            ("at another place in the order", &totals.moved),
        ] {
            listed(f, name, ranges, columns)?;
        }
        let unknown = totals.unknown.pages;
        if unknown > 0 {
            write!(
                f,
                "\n\nnot compared: the contents of {}, which firmware writes or whose hashes never leave the launch host (SECRETS, UNMEASURED)",
                count(unknown)
            )?;
        }
        let repeated = [totals.repeated_in_plan, totals.repeated_in_installed];
        for (side, repeated) in [planned, installed].into_iter().zip(repeated) {
            if repeated > 0 {
                write!(
                    f,
                    "\n\n{side} has {} again that it had before; only the first time counts here",
                    count(repeated)
                )?;
            }
        }
        Ok(())
    }
}

fn count(pages: u64) -> String {
    format!("{pages} page{}", if pages == 1 { "" } else { "s" })
}

fn row(mark: &str, side: &str, page: Option<&Page>) -> [String; 7] {
    let (mark, side) = (mark.to_owned(), side.to_owned());
    let Some(page) = page else {
        let none = "none".to_owned();
        return [
            mark,
            side,
            none,
            String::new(),
            String::new(),
            String::new(),
            String::new(),
        ];
    };
    [
        mark,
        side,
        page.ordinal.to_string(),
        page.gpa.to_string(),
        words::page_type(page.page_type.into()).into(),
        page.hash
            .map_or_else(|| "not known".to_owned(), |hash| hex(&hash)),
        page.name.to_string(),
    ]
}

fn listed(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    ranges: &Ranges,
    columns: [&str; 2],
) -> fmt::Result {
    if ranges.pages == 0 {
        return Ok(());
    }
    let [one, other] = columns.map(str::to_uppercase);
    let mut table = Table::new(["GPA", "PAGES", &one, &other]);
    for range in ranges.listed.iter().take(SHOWN) {
        table.row(cells(range));
    }
    write!(f, "\n\n{name}: {}\n{table}", count(ranges.pages))?;
    match ranges.ranges.saturating_sub(SHOWN as u64) {
        0 => Ok(()),
        more => write!(f, "\nand {more} more ranges: --output json lists them"),
    }
}

fn cells(range: &Range) -> [String; 4] {
    let place = |place: Option<Place>| match place {
        Some(place) => {
            let word = words::page_type(place.page_type.into());
            format!("{word} as page {}", place.ordinal)
        }
        None => "-".to_owned(),
    };
    [
        range.gpa.to_string(),
        range.pages.to_string(),
        place(range.planned),
        place(range.installed),
    ]
}
