//! What `stagectl diff` prints for people: what it is, the first page that differs, everything that differs, and the digests.
//!
//! **Invariant:** the first line says whether anything differs; addresses and hashes are whole, to be copied.

use std::fmt;

use stagepages_client::{
    diff::{Around, Divergence, Page, Place, Range, Ranges},
    plain, words,
};

use super::{Verdict, document::Document, sentence::sentence};
use crate::{json::hex, table::Table};

/// Ranges of a kind that are shown; JSON has more.
const SHOWN: usize = 8;

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", plain(&self.headline()))?;
        if let Some(first) = &self.comparison.first {
            self.first(f, first)?;
        }
        self.totals(f)?;
        if !self.settings.is_empty() {
            let mut table = Table::new(["SETTING", "PLANNED", "INSTALLED", "IN THE DIGEST"]);
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
            write!(
                f,
                "\n\nplanned digest    {planned}\ninstalled digest  {installed}"
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
            Verdict::Identical => format!("{other} is IDENTICAL to {image}: {planned} pages"),
            Verdict::Prefix => {
                format!("{other} is {image} so far: {installed} of {planned} pages, all as planned")
            }
            Verdict::Diverges if self.comparison.is_identical() => {
                format!("{other} has the {planned} pages of {image}, and OTHER SETTINGS")
            }
            Verdict::Diverges => {
                let same = self.same_pages();
                format!(
                    "{other} DIVERGES from {image} after {same} pages, of {planned} planned and {installed} installed"
                )
            }
        }
    }

    /// The page, and its neighbours on either side.
    fn first(&self, f: &mut fmt::Formatter<'_>, first: &Divergence) -> fmt::Result {
        let why = sentence(first, self.sides());
        write!(
            f,
            "\n\nfirst difference, page {}: {}",
            first.ordinal,
            plain(&why)
        )?;
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
        for (name, ranges) in [
            ("missing: planned and not installed", &totals.missing),
            ("extra: installed and not planned", &totals.extra),
            ("of another type", &totals.retyped),
            ("with other contents", &totals.contents),
            ("at another place in the order", &totals.moved),
        ] {
            listed(f, name, ranges)?;
        }
        let unknown = totals.unknown.pages;
        if unknown > 0 {
            write!(
                f,
                "\n\nnot compared: the contents of {unknown} pages, which firmware writes or whose hashes never leave the launch host (SECRETS, UNMEASURED)"
            )?;
        }
        for (side, repeated) in [
            ("planned", totals.repeated_in_plan),
            ("installed", totals.repeated_in_installed),
        ] {
            if repeated > 0 {
                write!(
                    f,
                    "\n\n{side} more than once: {repeated} pages; only the first time counts here"
                )?;
            }
        }
        Ok(())
    }
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

fn listed(f: &mut fmt::Formatter<'_>, name: &str, ranges: &Ranges) -> fmt::Result {
    if ranges.pages == 0 {
        return Ok(());
    }
    let mut table = Table::new(["GPA", "PAGES", "PLANNED", "INSTALLED"]);
    for range in ranges.listed.iter().take(SHOWN) {
        table.row(cells(range));
    }
    write!(f, "\n\n{name}: {} pages\n{table}", ranges.pages)?;
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
