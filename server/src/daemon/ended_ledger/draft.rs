//! A ledger's file while it is written, in the order in which a host tells what goes into it.
//!
//! **Invariant:** what a host tells is checked against itself before it is written: gaps, overlaps, counts that do not agree, and hashes that have to stay in
//! the host are errors.

use std::io;

use stagepages_host::{
    ledger::{Run, hash_is_private},
    protocol,
};
use tempfile::NamedTempFile;

use super::{
    format::{Entry, MAGIC, Note},
    sealed::{self, Sealing, damaged},
    shelf::Room,
};

/// What a host is asked for, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The runs in order of installation, without hashes.
    Runs,
    /// The same by GPA.
    Places,
    /// The runs in order of installation, cut as their hashes need it.
    Hashes,
}

impl Part {
    /// All of them, in their order.
    pub(super) const ALL: [Self; 3] = [Self::Runs, Self::Places, Self::Hashes];
}

/// A file being written. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Draft {
    out: Sealing<NamedTempFile>,
    uid: String,
    note: Note,
    /// Pages, runs and hashes of the part at hand so far.
    pages: u64,
    runs: u64,
    hashes: u64,
    /// The first GPA that the next place may have.
    least_gpa: u64,
    /// What is set aside for the file, once it is known how large it will be.
    pub(super) room: Option<Room>,
}

impl Draft {
    pub(super) fn new(file: NamedTempFile, uid: String) -> io::Result<Self> {
        let mut out = Sealing::new(file);
        out.write(MAGIC)?;
        Ok(Self {
            out,
            uid,
            note: Note::default(),
            pages: 0,
            runs: 0,
            hashes: 0,
            least_gpa: 0,
            room: None,
        })
    }

    /// Bytes of the whole file: while runs are added, of what is there.
    pub(super) fn bytes(&self) -> Option<u64> {
        let body = self.note.body()?.max(self.out.body());
        sealed::length(body)
    }

    /// Adds runs to a part.
    ///
    /// # Errors
    /// The kernel's; `InvalidData` if they contradict what was told before.
    pub(super) fn add(&mut self, part: Part, runs: &[protocol::Run]) -> io::Result<()> {
        for told in runs {
            let run = Run::try_from(told).map_err(io::Error::other)?;
            match part {
                Part::Runs => self.add_run(&run)?,
                Part::Places => self.add_place(&run)?,
                Part::Hashes => self.add_hashes(&run, &told.hashes)?,
            }
        }
        Ok(())
    }

    /// Ends a part; the next one may begin.
    ///
    /// # Errors
    /// `InvalidData` if it has not as much as was told before.
    pub(super) fn end(&mut self, part: Part) -> io::Result<()> {
        if part == Part::Runs {
            (self.note.runs, self.note.pages) = (self.runs, self.pages);
            self.note.hashes = self.hashes;
        }
        let whole = match part {
            Part::Runs => true,
            Part::Places => (self.runs, self.pages) == (self.note.runs, self.note.pages),
            Part::Hashes => (self.hashes, self.pages) == (self.note.hashes, self.note.pages),
        };
        if !whole {
            return Err(damaged("the host told one thing and then another"));
        }
        (self.runs, self.pages, self.hashes) = (0, 0, 0);
        Ok(())
    }

    /// Ends the file; what goes on record of it comes back beside it.
    ///
    /// # Errors
    /// The kernel's; `InvalidData` unless every part is there and `pages` are.
    pub(super) fn seal(self, pages: u64) -> io::Result<(NamedTempFile, Note, Option<Room>)> {
        let mut note = self.note;
        if note.pages != pages || note.body() != Some(self.out.body()) {
            return Err(damaged("the host told another ledger than the launch's"));
        }
        let (file, chunks) = self.out.end()?;
        note.seal = sealed::seal(&subject(&self.uid, &note), &chunks).to_vec();
        Ok((file, note, self.room))
    }

    fn add_run(&mut self, run: &Run) -> io::Result<()> {
        self.follows(run)?;
        self.out.write(&Entry::new(run, self.hashes).to_bytes())?;
        self.hashes += hashes_of(run);
        self.runs += 1;
        Ok(())
    }

    fn add_place(&mut self, run: &Run) -> io::Result<()> {
        let gpa = run.range.start().gpa().get();
        if gpa < self.least_gpa || self.runs >= self.note.runs {
            return Err(damaged("places that are in no order"));
        }
        self.least_gpa = run.range.end().get();
        self.out.write(&gpa.to_le_bytes())?;
        self.out.write(&run.first_ordinal.to_le_bytes())?;
        self.runs += 1;
        self.pages = self.pages.saturating_add(run.range.pages());
        Ok(())
    }

    fn add_hashes(&mut self, run: &Run, hashes: &[u8]) -> io::Result<()> {
        self.follows(run)?;
        let count = hashes_of(run);
        let bytes = count.checked_mul(super::format::HASH);
        if bytes != Some(hashes.len() as u64) {
            return Err(damaged("a run with too few hashes, or too many"));
        }
        self.hashes += count;
        self.out.write(hashes)
    }

    /// Takes the next run in order of installation.
    fn follows(&mut self, run: &Run) -> io::Result<()> {
        if run.first_ordinal != self.pages {
            return Err(damaged("a gap in the order of installation"));
        }
        let pages = self.pages.checked_add(run.range.pages());
        self.pages = pages.ok_or_else(|| damaged("more pages than there are"))?;
        Ok(())
    }
}

/// What the seal of this launch's file is about.
pub(super) fn subject(uid: &str, note: &Note) -> Vec<u8> {
    let mut subject = uid.as_bytes().to_vec();
    for count in [note.runs, note.pages, note.hashes] {
        subject.extend(count.to_le_bytes());
    }
    subject
}

/// How many hashes of a run leave the host.
fn hashes_of(run: &Run) -> u64 {
    if hash_is_private(run.page_type) {
        0
    } else if run.uniform {
        1
    } else {
        run.range.pages()
    }
}
