//! Ledgers, compared by the product, which works in runs, and here page by page.
//!
//! A run is six bytes: 0 side and how its hashes are told, 1 type, 2 and 3 first page, 4 pages, 5 what is in them.

use bytes::Bytes;
use stagepages_client::{
    InstalledPages,
    diff::{Sequence, compare},
    v1::{InstalledRun, PageType, Platform},
};

/// Runs that are looked at: a loop over pages is slow.
const RUNS: usize = 64;

/// One page, as a loop sees it: address, type, what is in it if that is known.
type Page = (u64, i32, Option<u8>);

/// One side.
#[derive(Default)]
struct Side {
    ledger: InstalledPages,
    pages: Vec<Page>,
    is_good: bool,
}

/// Two ledgers.
pub fn diff(bytes: &[u8]) {
    let mut sides = [Side::good(), Side::good()];
    for run in bytes.as_chunks::<6>().0.iter().take(RUNS) {
        let [one, other] = &mut sides;
        // Mostly on both sides, or there would be nothing in common.
        match run[0] % 8 {
            0 => one.push(*run),
            1 => other.push(*run),
            _ => {
                one.push(*run);
                other.push(*run);
            }
        }
    }
    let [one, other] = &sides;
    let sequences = (one.sequence(), other.sequence());
    let (Some(planned), Some(installed)) = sequences else {
        return;
    };
    // Where nothing is measured all contents count.
    let comparison = compare(&planned, &installed, Platform::Kvm);
    let first = first(&one.pages, &other.pages);
    let told = comparison.first.as_ref().map(|it| it.ordinal);
    assert_eq!(told, first.map(|it| it as u64), "{comparison:?}");
    assert_eq!(comparison.planned_pages, one.pages.len() as u64);
    assert_eq!(comparison.installed_pages, other.pages.len() as u64);
    let totals = comparison.totals;
    let only = |these: &[Page], those: &[Page]| {
        let mut gpas: Vec<u64> = these.iter().map(|it| it.0).collect();
        gpas.sort_unstable();
        gpas.dedup();
        gpas.retain(|gpa| those.iter().all(|it| it.0 != *gpa));
        gpas.len() as u64
    };
    assert_eq!(totals.missing.pages, only(&one.pages, &other.pages));
    assert_eq!(totals.extra.pages, only(&other.pages, &one.pages));
}

impl Side {
    fn good() -> Self {
        Self {
            is_good: true,
            ..Self::default()
        }
    }

    fn push(&mut self, [how, page_type, low, high, pages, filled]: [u8; 6]) {
        let page_type = i32::from(page_type % 7);
        let gpa = u64::from(u16::from_le_bytes([low, high])) << 12;
        let count = u64::from(pages % 17);
        let hash = |byte: u8| *blake3::hash(&[byte]).as_bytes();
        let of_page = |nth: u64| filled.wrapping_add(u8::try_from(nth).unwrap_or(0) & 1);
        let (uniform, known) = (how & 8 != 0, how & 16 == 0);
        let hashes: Vec<u8> = match (known, uniform) {
            (false, _) => Vec::new(),
            (true, true) => hash(filled).to_vec(),
            (true, false) => (0..count).flat_map(|nth| hash(of_page(nth))).collect(),
        };
        self.is_good &= count > 0 && (1..=5).contains(&page_type);
        for nth in 0..count {
            let filled = if uniform { filled } else { of_page(nth) };
            self.pages
                .push((gpa + (nth << 12), page_type, known.then_some(filled)));
        }
        let first_ordinal = self.ledger.installed_pages;
        self.ledger.installed_pages += count;
        self.ledger.runs.push(InstalledRun {
            gpa,
            pages: count,
            page_type,
            first_ordinal,
            page_hashes: Bytes::from(hashes),
            uniform,
        });
    }

    /// Refused if a run is none that the API allows, and only then.
    fn sequence(&self) -> Option<Sequence> {
        let sequence = Sequence::of_ledger(&self.ledger).ok();
        assert_eq!(sequence.is_some(), self.is_good, "{:?}", self.ledger);
        sequence
    }
}

/// Where two orders part: another address or type, other contents as far as known, or the end of one.
fn first(planned: &[Page], installed: &[Page]) -> Option<usize> {
    let is_same = |(one, other): (&Page, &Page)| {
        let differs = one.2.zip(other.2).is_some_and(|(one, other)| one != other);
        one.0 == other.0 && one.1 == other.1 && !differs
    };
    let common = planned
        .iter()
        .zip(installed)
        .take_while(|it| is_same(*it))
        .count();
    (common < planned.len().max(installed.len())).then_some(common)
}

const _: () = assert!(PageType::Cpuid as i32 <= 5, "types are 1 to 5");
