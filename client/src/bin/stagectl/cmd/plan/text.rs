//! A plan as text: the facts, the extents in their order, what was found, how long it takes, and the digests.
//!
//! **Invariant:** computes nothing; it all is in the document.

use std::fmt;

use stagepages_client::{
    addr::{PAGE_BYTES, Size},
    plain,
};

use super::document::Document;
use crate::{settings, table::Table, wrap::wrap};

/// Columns of a terminal that findings are broken to.
const WIDTH: usize = 116;

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}", facts(self), extents(self))?;
        if let Some(map) = &self.map {
            write!(f, "\n\n{map}")?;
        }
        if let Some(file) = &self.svg {
            write!(f, "\n\ndrawn into {}", plain(file))?;
        }
        if !self.findings.is_empty() {
            writeln!(f, "\n")?;
            write!(f, "{}", findings(self))?;
        }
        write!(f, "\n\n{}", times(self))?;
        if !self.sweep.is_empty() {
            write!(f, "\n\n{}", sweep(self))?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "\n\nlaunch digest  {digest}")?;
        }
        Ok(())
    }
}

fn facts(document: &Document) -> Table<2> {
    let mut facts = Table::bare();
    let mut fact = |name: &str, value: String| facts.row([name.into(), value]);
    fact("image", document.image.clone());
    fact("format", document.format.clone());
    fact("platform", document.platform.clone());
    for region in &document.regions {
        fact("memory", region.to_string());
    }
    let size = Size(document.pages.saturating_mul(PAGE_BYTES));
    fact("pages", format!("{}, {size}", document.pages));
    for vcpu in vcpus(&document.vcpus) {
        fact("vcpu", vcpu);
    }
    for (name, value) in settings::facts(&document.spec) {
        fact(name, value);
    }
    if document.id_block {
        fact("ID block", "the image's own".into());
    }
    facts
}

/// Neighbours that begin alike on one line: `1..7=reset`.
fn vcpus(states: &[String]) -> Vec<String> {
    let mut groups: Vec<(&str, &str, &str)> = Vec::new();
    for (index, state) in states.iter().filter_map(|text| text.split_once('=')) {
        match groups.last_mut() {
            Some((_, last, same)) if *same == state => *last = index,
            _ => groups.push((index, index, state)),
        }
    }
    let line = |(first, last, state): (&str, &str, &str)| {
        if first == last {
            format!("{first}={state}")
        } else {
            format!("{first}..{last}={state}")
        }
    };
    groups.into_iter().map(line).collect()
}

fn extents(document: &Document) -> Table<5> {
    let mut table = Table::new(["ORDER", "GPA", "PAGES", "TYPE", "NAME"]);
    for extent in &document.extents {
        table.row([
            extent.order.to_string(),
            extent.gpa.clone(),
            extent.pages.to_string(),
            extent.page_type.clone(),
            extent.name.clone(),
        ]);
    }
    table
}

/// Each with its lines after the first set in.
fn findings(document: &Document) -> String {
    let texts = document
        .findings
        .iter()
        .map(|it| plain(&it.text).to_string());
    let wrapped = texts.map(|text| wrap(&text, WIDTH).join("\n  "));
    wrapped.collect::<Vec<_>>().join("\n")
}

fn times(document: &Document) -> Table<3> {
    let mut table = Table::new(["TIME ON", "ABOUT", "IF"]);
    for time in &document.times {
        table.row([
            time.platform.clone(),
            format!("{:.3} s", time.seconds),
            time.assumption.to_owned(),
        ]);
    }
    table
}

fn sweep(document: &Document) -> Table<3> {
    let mut table = Table::new(["VCPUS", "VCPU TYPE", "LAUNCH DIGEST"]);
    for row in &document.sweep {
        let digest = row.digest.clone();
        let error = || row.error.clone().unwrap_or_default();
        table.row([
            row.vcpus.to_string(),
            row.vcpu_type.clone().unwrap_or_else(|| "any".into()),
            digest.unwrap_or_else(error),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vcpus_that_begin_alike_are_one_line() {
        let states = ["0=tdx:0x1", "1=reset", "2=reset", "3=reset", "4=tdx:0x1"];
        let states = states.map(str::to_owned);
        assert_eq!(vcpus(&states), ["0=tdx:0x1", "1..3=reset", "4=tdx:0x1"]);
    }
}
