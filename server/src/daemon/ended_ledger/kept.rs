//! A ledger's file, read.
//!
//! **Invariant:** what is looked up costs a search, not a pass through the file; no more than a few chunks of it are in memory.

use std::{cell::RefCell, fs::File, io};

use stagepages_host::{
    launch::{Listing, Order, cut},
    ledger::{PageHash, Run},
    protocol::{self, ListRuns},
};
use stagepages_kvm::Gfn;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    NotKept,
    draft::subject,
    format::{Entry, Note},
    sealed::{Sealed, damaged},
    store::within,
};
use crate::daemon::files::Files;

/// The ledger of a launch that is over.
#[derive(Debug)]
pub struct Kept {
    ledger: Ledger,
    files: Files,
    reading: OwnedSemaphorePermit,
}

/// The ledger in a file; without one, it has no pages.
#[derive(Debug)]
pub(super) struct Ledger {
    note: Note,
    file: Option<RefCell<Sealed>>,
}

/// Runs, each of which may turn out to be unreadable.
type Runs<'a> = Box<dyn Iterator<Item = io::Result<Run>> + 'a>;

impl Kept {
    pub(super) fn new(ledger: Ledger, files: Files, reading: OwnedSemaphorePermit) -> Self {
        Self {
            ledger,
            files,
            reading,
        }
    }

    /// Answers as a host does, within the bound of all reading. The ledger comes back beside the answer.
    ///
    /// # Errors
    /// See [`NotKept`].
    pub async fn list(self, list: ListRuns) -> Result<(Self, protocol::RunsPage), NotKept> {
        let Self {
            ledger,
            files,
            reading,
        } = self;
        let work = move || {
            let page = ledger.list(&list)?;
            Ok((ledger, reading, page))
        };
        let (ledger, reading, page) = within(files.run(work)).await?;
        Ok((Self::new(ledger, files, reading), page))
    }
}

impl Ledger {
    /// The ledger without pages.
    pub(super) fn empty() -> Self {
        Self {
            note: Note::default(),
            file: None,
        }
    }

    /// The ledger of launch `uid` in this file.
    ///
    /// # Errors
    /// The kernel's; `InvalidData` if it is another file than `note` tells of.
    pub(super) fn open(file: File, uid: &str, note: Note) -> io::Result<Self> {
        let body = note.body().ok_or_else(|| damaged("counts of no file"))?;
        let sealed = Sealed::open(file, &subject(uid, &note), body, &note.seal)?;
        Ok(Self {
            note,
            file: Some(RefCell::new(sealed)),
        })
    }

    /// A part of it.
    pub(super) fn list(&self, list: &ListRuns) -> io::Result<protocol::RunsPage> {
        let (order, most) = (list.order(), list.most_runs());
        let page = cut(self, order, list.from, list.hashes, most)?;
        Ok((&page).into())
    }

    fn read<const N: usize>(&self, at: Option<u64>) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(at, &mut bytes)?;
        Ok(bytes)
    }

    fn fill(&self, at: Option<u64>, out: &mut [u8]) -> io::Result<()> {
        let (at, file) = at
            .zip(self.file.as_ref())
            .ok_or_else(|| damaged("it ends too early"))?;
        file.borrow_mut().read(at, out)
    }

    fn entry(&self, number: u64) -> io::Result<Entry> {
        let bytes = self.read(Note::run_at(number))?;
        Entry::from_bytes(bytes).ok_or_else(|| damaged("a run that is none"))
    }

    /// GPA and first ordinal of the run that is this one by GPA.
    fn place(&self, number: u64) -> io::Result<(u64, u64)> {
        let gpa = self.read(self.note.place_at(number))?;
        let ordinal = self.read(self.note.place_at(number).and_then(|at| at.checked_add(8)))?;
        Ok((u64::from_le_bytes(gpa), u64::from_le_bytes(ordinal)))
    }

    fn run(&self, number: u64) -> io::Result<Run> {
        let entry = self.entry(number)?;
        let end = if number + 1 < self.note.runs {
            self.entry(number + 1)?.first_ordinal
        } else {
            self.note.pages
        };
        let told = protocol::Run {
            gpa: entry.gpa,
            pages: end.saturating_sub(entry.first_ordinal),
            page_type: entry.page_type,
            first_ordinal: entry.first_ordinal,
            uniform: entry.uniform,
            hashes: Vec::new(),
        };
        Run::try_from(&told).map_err(io::Error::other)
    }

    /// The number of the run that holds the page with this ordinal, which there is.
    fn number_at(&self, ordinal: u64) -> io::Result<u64> {
        let behind = self.partition(|number| Ok(self.entry(number)?.first_ordinal <= ordinal))?;
        behind
            .checked_sub(1)
            .ok_or_else(|| damaged("a ledger that does not begin"))
    }

    /// The number of the run that begins with this ordinal: most launches are installed in order of GPA, so it is `likely` the one behind the last.
    fn number_from(&self, likely: u64, ordinal: u64) -> io::Result<u64> {
        if likely < self.note.runs && self.entry(likely)?.first_ordinal == ordinal {
            return Ok(likely);
        }
        self.number_at(ordinal)
    }

    /// The first run for which `before` does not hold; it holds for those before and none behind.
    fn partition(&self, before: impl Fn(u64) -> io::Result<bool>) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.note.runs);
        while low < high {
            let middle = low + (high - low) / 2;
            if before(middle)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn by_installation(&self, from: u64) -> io::Result<Runs<'_>> {
        let first = if from < self.note.pages {
            self.number_at(from)?
        } else {
            self.note.runs
        };
        let runs = (first..self.note.runs).map(|number| self.run(number));
        Ok(Box::new(runs.map(move |run| {
            let run = run?;
            // The first one may begin before.
            let skipped = run.skip(from.saturating_sub(run.first_ordinal));
            skipped.ok_or_else(|| damaged("a run without pages"))
        })))
    }

    fn by_gpa(&self, from: Gfn) -> io::Result<Runs<'_>> {
        let gpa = from.gpa().get();
        let behind = self.partition(|number| Ok(self.place(number)?.0 <= gpa))?;
        let first = behind.saturating_sub(1);
        let mut likely = 0;
        let runs = (first..self.note.runs).map(move |number| {
            let (gpa, ordinal) = self.place(number)?;
            let installed = self.number_from(likely, ordinal)?;
            likely = installed.saturating_add(1);
            let run = self.run(installed)?;
            if (run.range.start().gpa().get(), run.first_ordinal) == (gpa, ordinal) {
                Ok(run)
            } else {
                Err(damaged("a place without a run"))
            }
        });
        Ok(Box::new(runs.filter_map(move |run| {
            let part = |run: Run| run.skip(from.get().saturating_sub(run.range.start().get()));
            // Only the first one may end before.
            run.map(part).transpose()
        })))
    }
}

impl Listing for Ledger {
    type Error = io::Error;

    fn runs_from(&self, order: Order, from: u64) -> Box<dyn Iterator<Item = io::Result<Run>> + '_> {
        let runs: io::Result<Runs<'_>> = match (order, Gfn::new(from)) {
            (Order::Installation, _) => self.by_installation(from),
            (Order::Gpa, Some(from)) => self.by_gpa(from),
            (Order::Gpa, None) => Ok(Box::new(std::iter::empty())),
        };
        runs.unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
    }

    fn hashes_of(&self, run: &Run) -> io::Result<Vec<PageHash>> {
        let entry = self.entry(self.number_at(run.first_ordinal)?)?;
        let (number, count) = if entry.uniform {
            (entry.first_hash, 1)
        } else {
            let within = run.first_ordinal.saturating_sub(entry.first_ordinal);
            (entry.first_hash.saturating_add(within), run.range.pages())
        };
        let end = number.checked_add(count);
        if end.is_none_or(|end| end > self.note.hashes) {
            return Err(damaged("a run without hashes"));
        }
        let count = usize::try_from(count).map_err(io::Error::other)?;
        let mut hashes = vec![[0; 32]; count];
        self.fill(self.note.hash_at(number), hashes.as_flattened_mut())?;
        Ok(hashes.into_iter().map(PageHash).collect())
    }
}
