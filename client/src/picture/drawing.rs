//! What is drawn.
//!
//! **Invariant:** takes a plan or a ledger as it is; areas may overlap, or lie outside memory, and are drawn all the same.

use crate::{
    InstalledPages,
    addr::{Gpa, PAGE_BYTES, Region},
    plan::Plan,
    v1::PageType,
};

/// Consecutive pages of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// Address of the first.
    pub gpa: Gpa,
    /// How many.
    pub pages: u64,
    /// Their type; `Unspecified` for one that this client does not know.
    pub page_type: PageType,
    /// What they are, for people; may be empty.
    pub name: String,
}

/// A guest's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawing {
    /// What is shown, for people: `launches/vm-1`.
    pub title: String,
    /// The guest's memory.
    pub memory: Vec<Region>,
    /// What is staged.
    pub areas: Vec<Area>,
}

impl Area {
    /// The address behind the last page.
    pub(super) fn end(&self) -> u64 {
        let bytes = self.pages.saturating_mul(PAGE_BYTES);
        self.gpa.bytes().saturating_add(bytes)
    }
}

impl Drawing {
    /// What a plan stages.
    #[must_use]
    pub fn of_plan(title: impl Into<String>, plan: &Plan) -> Self {
        let areas = plan.extents.iter().map(|extent| Area {
            gpa: extent.gpa(),
            pages: extent.pages(),
            page_type: extent.page_type(),
            name: extent.name().to_owned(),
        });
        Self {
            title: title.into(),
            memory: plan.memory.clone(),
            areas: areas.collect(),
        }
    }

    /// What is installed in a launch with this memory.
    #[must_use]
    pub fn of_ledger(
        title: impl Into<String>,
        memory: Vec<Region>,
        ledger: &InstalledPages,
    ) -> Self {
        let areas = ledger.runs.iter().map(|run| Area {
            gpa: Gpa::new(run.gpa),
            pages: run.pages,
            page_type: run.page_type(),
            name: String::new(),
        });
        Self {
            title: title.into(),
            memory,
            areas: areas.collect(),
        }
    }

    /// Pages of each type that there is, in the order of the legend.
    pub(super) fn counts(&self) -> Vec<(PageType, u64)> {
        super::palette::TYPES
            .into_iter()
            .filter_map(|page_type| {
                let areas = self.areas.iter().filter(|area| area.page_type == page_type);
                let pages = areas.fold(0_u64, |sum, area| sum.saturating_add(area.pages));
                (pages > 0).then_some((page_type, pages))
            })
            .collect()
    }

    /// One line: how much is staged in how much.
    pub(super) fn summary(&self) -> String {
        let sum = |numbers: &mut dyn Iterator<Item = u64>| numbers.fold(0, u64::saturating_add);
        let pages = sum(&mut self.areas.iter().map(|area| area.pages));
        let memory = sum(&mut self.memory.iter().map(|region| region.size));
        let staged = about(pages.saturating_mul(PAGE_BYTES));
        format!("{}, {staged} of {}", count(pages), about(memory))
    }
}

/// `1 page`, `2 pages`.
pub(super) fn count(pages: u64) -> String {
    format!("{pages} page{}", if pages == 1 { "" } else { "s" })
}

/// Bytes for people, rounded down to a tenth: `4K`, `1023.9G`.
pub(super) fn about(bytes: u64) -> String {
    let units = [('T', 40), ('G', 30), ('M', 20), ('K', 10)];
    let Some((unit, shift)) = units.into_iter().find(|(_, shift)| bytes >> shift > 0) else {
        return bytes.to_string();
    };
    let whole = bytes >> shift;
    let rest = bytes & ((1 << shift) - 1);
    match (u128::from(rest) * 10) >> shift {
        0 => format!("{whole}{unit}"),
        tenths => format!("{whole}.{tenths}{unit}"),
    }
}
