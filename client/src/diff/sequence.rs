//! Pages in order of installation: those of a plan, or those of a ledger.
//!
//! **Invariant:** holds hashes and never contents: 32 bytes a page at most, and 32 for a whole run of equal pages.

use std::{io, sync::Arc};

use bytes::Bytes;

use super::Page;
use crate::{
    InstalledPages,
    addr::{Gpa, PAGE_BYTES},
    plan::{Contents, Extent, Plan},
    v1::{self, PageType},
    words,
};

/// Bytes of a [`Hash`].
const HASH_BYTES: usize = 32;

/// BLAKE3-256 of the 4096 bytes of a page.
pub type Hash = [u8; HASH_BYTES];

/// Pages in the order in which they are, or will be, installed.
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    runs: Vec<Run>,
    pages: u64,
}

/// Consecutive pages of one type, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// How many pages come before it.
    pub(super) ordinal: u64,
    /// A multiple of 4096; the last page ends below 2^64.
    pub(super) gpa: u64,
    /// At least one.
    pub(super) pages: u64,
    pub(super) page_type: PageType,
    hashes: Hashes,
    name: Arc<str>,
}

#[derive(Clone, Debug)]
enum Hashes {
    /// Firmware writes the page, or the launch host keeps its hash for itself.
    Withheld,
    Same(Hash),
    /// One for each page.
    Each(Bytes),
}

/// Why pages are no sequence that can be compared.
#[derive(Debug, thiserror::Error)]
pub enum SequenceError {
    /// The image could not be read.
    #[error("`{name}` at GPA {gpa}: its bytes cannot be read")]
    Unreadable {
        /// The extent.
        name: String,
        /// Where its first page goes.
        gpa: Gpa,
        /// Why.
        source: io::Error,
    },
    /// An extent that nothing could install, so that nothing can be compared with it.
    #[error(
        "`{name}` begins at GPA {gpa}, which is no multiple of 0x1000; `stagectl plan` lists all that is wrong with the image"
    )]
    Misaligned {
        /// The extent.
        name: String,
        /// Where it begins.
        gpa: Gpa,
    },
    /// More pages than can be counted.
    #[error("there are 2^64 pages or more; give an image of a guest that can exist")]
    TooMany,
    /// The daemon's answer is none that the API allows.
    #[error(
        "the daemon lists {run}, {problem}; compare the versions of client and daemon: `stagectl node`"
    )]
    BadAnswer {
        /// Which run.
        run: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Sequence {
    /// The pages of a plan. Reads and hashes all of its contents, those that are not measured too.
    ///
    /// # Errors
    /// A file of the plan cannot be read, or an extent is none that could be staged.
    pub fn of_plan(plan: &Plan) -> Result<Self, SequenceError> {
        let mut sequence = Self::default();
        for extent in &plan.extents {
            let gpa = extent.gpa();
            if !gpa.bytes().is_multiple_of(PAGE_BYTES) {
                let name = extent.name().to_owned();
                return Err(SequenceError::Misaligned { name, gpa });
            }
            let hashes = Hashes::of_extent(extent).map_err(|source| SequenceError::Unreadable {
                name: extent.name().to_owned(),
                gpa,
                source,
            })?;
            sequence.push(Run {
                ordinal: sequence.pages,
                gpa: gpa.bytes(),
                pages: extent.pages(),
                page_type: extent.page_type(),
                hashes,
                name: extent.name().into(),
            })?;
        }
        Ok(sequence)
    }

    /// The pages of a ledger that was listed in order of installation, with hashes.
    ///
    /// # Errors
    /// The list is none that the API allows.
    pub fn of_ledger(ledger: &InstalledPages) -> Result<Self, SequenceError> {
        let mut sequence = Self::default();
        for run in &ledger.runs {
            let run = Run::of_ledger(run, sequence.pages).map_err(|problem| {
                SequenceError::BadAnswer {
                    run: format!("{} pages at GPA {:#x}", run.pages, run.gpa),
                    problem,
                }
            })?;
            sequence.push(run)?;
        }
        Ok(sequence)
    }

    /// How many.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// The page before which `ordinal` others come; `None` behind the last one.
    #[must_use]
    pub fn page(&self, ordinal: u64) -> Option<Page> {
        self.at(ordinal).map(|at| at.page())
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The place of a page.
    pub(super) fn at(&self, ordinal: u64) -> Option<At<'_>> {
        let behind = self.runs.partition_point(|run| run.ordinal <= ordinal);
        let run = self.runs.get(behind.checked_sub(1)?)?;
        let nth = ordinal - run.ordinal;
        (nth < run.pages).then_some(At { run, nth })
    }

    fn push(&mut self, run: Run) -> Result<(), SequenceError> {
        let pages = self.pages.checked_add(run.pages);
        self.pages = pages.ok_or(SequenceError::TooMany)?;
        self.runs.push(run);
        Ok(())
    }
}

impl Run {
    fn of_ledger(run: &v1::InstalledRun, ordinal: u64) -> Result<Self, String> {
        let end = Gpa::new(run.gpa).plus_pages(run.pages);
        if run.pages == 0 || !run.gpa.is_multiple_of(PAGE_BYTES) || end.is_none() {
            return Err("which are no pages of a guest".to_owned());
        }
        if run.first_ordinal != ordinal {
            let told = run.first_ordinal;
            return Err(format!("whose ordinal is {told} and not {ordinal}"));
        }
        let page_type = match PageType::try_from(run.page_type) {
            Ok(page_type) if page_type != PageType::Unspecified => page_type,
            _ => return Err(format!("of type {}", words::page_type(run.page_type))),
        };
        let hashes = Hashes::of_ledger(run).ok_or_else(|| {
            let bytes = run.page_hashes.len();
            format!("with {bytes:#x} bytes of hashes")
        })?;
        Ok(Self {
            ordinal,
            gpa: run.gpa,
            pages: run.pages,
            page_type,
            hashes,
            name: "".into(),
        })
    }

    /// The address behind it.
    pub(super) fn end(&self) -> u64 {
        self.gpa
            .saturating_add(self.pages.saturating_mul(PAGE_BYTES))
    }

    /// The place of the page at `gpa`, which is in it.
    pub(super) fn at_gpa(&self, gpa: u64) -> At<'_> {
        let nth = gpa.saturating_sub(self.gpa) / PAGE_BYTES;
        At { run: self, nth }
    }
}

impl Hashes {
    fn of_extent(extent: &Extent) -> io::Result<Self> {
        if extent.page_type() == PageType::Secrets {
            return Ok(Self::Withheld);
        }
        if matches!(extent.contents(), Contents::Zeros) {
            return Ok(Self::Same(hash(&[0; 4096])));
        }
        let (mut all, mut first) = (Vec::new(), None);
        let mut differ = false;
        extent.each_page(|_, page| {
            let hash = hash(page.unwrap_or(&[0; 4096]));
            differ |= *first.get_or_insert(hash) != hash;
            all.extend_from_slice(&hash);
        })?;
        Ok(match first {
            Some(hash) if !differ => Self::Same(hash),
            _ => Self::Each(all.into()),
        })
    }

    fn of_ledger(run: &v1::InstalledRun) -> Option<Self> {
        let bytes = &run.page_hashes;
        if bytes.is_empty() {
            return Some(Self::Withheld);
        }
        if run.uniform {
            return Hash::try_from(&**bytes).ok().map(Self::Same);
        }
        let wanted = run.pages.checked_mul(HASH_BYTES as u64)?;
        (bytes.len() as u64 == wanted).then(|| Self::Each(bytes.clone()))
    }

    fn get(&self, nth: u64) -> Option<Hash> {
        match self {
            Self::Withheld => None,
            Self::Same(hash) => Some(*hash),
            Self::Each(all) => {
                let nth = usize::try_from(nth).ok()?;
                all.as_chunks::<HASH_BYTES>().0.get(nth).copied()
            }
        }
    }
}

fn hash(page: &[u8; 4096]) -> Hash {
    blake3::hash(page).into()
}

/// The place of a page in a sequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    run: &'a Run,
    nth: u64,
}

impl At<'_> {
    /// The page `pages` on in the same run.
    pub(super) fn plus(self, pages: u64) -> Self {
        Self {
            nth: self.nth.saturating_add(pages),
            ..self
        }
    }

    pub(super) fn gpa(self) -> u64 {
        self.run
            .gpa
            .saturating_add(self.nth.saturating_mul(PAGE_BYTES))
    }

    pub(super) fn ordinal(self) -> u64 {
        self.run.ordinal.saturating_add(self.nth)
    }

    pub(super) fn page_type(self) -> PageType {
        self.run.page_type
    }

    /// How many pages of the run are left, this one among them.
    pub(super) fn left(self) -> u64 {
        self.run.pages.saturating_sub(self.nth)
    }

    fn page(self) -> Page {
        Page {
            ordinal: self.ordinal(),
            gpa: Gpa::new(self.gpa()),
            page_type: self.run.page_type,
            hash: self.run.hashes.get(self.nth),
            name: Arc::clone(&self.run.name),
        }
    }
}

/// What comparing the contents of two pages says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alike {
    Same,
    Other,
    /// At least one of the hashes is withheld.
    Unknown,
}

/// Compares the contents of `pages` pages from two places on, which both have: offset, how many pages, the answer. Runs of equal pages are compared
/// at once, so that an image that claims 2^50 zero pages costs no more than one that claims two.
pub(super) fn alike(a: At<'_>, b: At<'_>, pages: u64) -> impl Iterator<Item = (u64, u64, Alike)> {
    let at_once = match (&a.run.hashes, &b.run.hashes) {
        (Hashes::Withheld, _) | (_, Hashes::Withheld) | (Hashes::Same(_), Hashes::Same(_)) => pages,
        (Hashes::Each(_), _) | (_, Hashes::Each(_)) => 1,
    };
    let step = usize::try_from(at_once.max(1)).unwrap_or(usize::MAX);
    (0..pages).step_by(step).map(move |offset| {
        let hashes = (
            a.run.hashes.get(a.nth.saturating_add(offset)),
            b.run.hashes.get(b.nth.saturating_add(offset)),
        );
        let alike = match hashes {
            (Some(one), Some(other)) if one == other => Alike::Same,
            (Some(_), Some(_)) => Alike::Other,
            (None, _) | (_, None) => Alike::Unknown,
        };
        (offset, at_once, alike)
    })
}
