//! Verification of a log: its files, oldest first, as one chain.
//!
//! Goes on behind what it finds, so that one changed line does not hide another, and needs memory for one line whatever the length of the log.
//!
//! **Invariant:** a log without a problem is the one that was written, from its first record that is here to its head.

use std::io::{self, BufRead, Read as _};

use sha2::{Digest as _, Sha256};

use crate::{Hash, Head, MAX_LINE, Torn, chain, chain::Link};

mod report;
#[cfg(test)]
mod tests;

pub use report::{Problem, Report, TornEnd, What};

/// Problems that are told one by one.
const MOST: usize = 100;

/// Verifies files in the order in which they are given.
#[derive(Debug)]
pub struct Verifier {
    expected: Option<Head>,
    expected_seen: bool,
    last: Option<Head>,
    report: Report,
    /// Lines behind the last record that are none: torn, if the next record says so, or changed.
    bad: Bad,
    /// Where the next line is.
    file: String,
    line: u64,
}

/// Lines that are no records, in a row.
#[derive(Debug, Default)]
struct Bad {
    lines: Vec<u64>,
    more: u64,
    bytes: u64,
    hash: Sha256,
}

impl Bad {
    fn count(&self) -> u64 {
        self.lines.len() as u64 + self.more
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Takes in one more. The newline before it is part of what is torn, that behind it is not.
    fn push(&mut self, line: u64) {
        if !self.is_empty() {
            self.feed(b"\n");
        }
        if self.lines.len() < MOST {
            self.lines.push(line);
        } else {
            self.more += 1;
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    fn is(&self, torn: Torn) -> bool {
        let hash = self.hash.clone().finalize();
        torn.bytes == self.bytes && torn.sha256 == Hash::from(hash.as_slice())
    }
}

impl Verifier {
    /// Verifies a log that has to hold the record `expected`, if one is given.
    #[must_use]
    pub fn new(expected: Option<Head>) -> Self {
        Self {
            expected,
            expected_seen: false,
            last: None,
            report: Report::default(),
            bad: Bad::default(),
            file: String::new(),
            line: 0,
        }
    }

    /// Takes the next file, which is called `name`.
    ///
    /// # Errors
    /// Those of `reader`.
    pub fn file(&mut self, name: &str, reader: &mut (impl BufRead + ?Sized)) -> io::Result<()> {
        // Only the last file may end within a line.
        if let Some(TornEnd { file, line, bytes }) = self.report.torn_end.take() {
            self.report.problem(file, line, What::Cut { bytes });
        }
        name.clone_into(&mut self.file);
        self.line = 0;
        self.report.files += 1;
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut *reader)
                .take(MAX_LINE as u64)
                .read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            self.line += 1;
            if line.last() == Some(&b'\n') {
                line.pop();
                self.take(&line);
            } else if read == MAX_LINE {
                self.bad.push(self.line);
                self.bad.feed(&line);
                self.skip(reader)?;
            } else {
                self.report.torn_end = Some(TornEnd {
                    file: self.file.clone(),
                    line: self.line,
                    bytes: read as u64,
                });
            }
        }
        self.give_up();
        Ok(())
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.report.head = self.last;
        let first = self.report.first;
        if let Some(expected) = self.expected
            && !self.expected_seen
        {
            let what = match (first, self.last) {
                (Some(first), _) if expected.seq < first => What::HeadTooOld { expected, first },
                (_, last) => What::HeadMissing {
                    expected,
                    last: last.map_or(0, |last| last.seq),
                },
            };
            self.report.problem(self.file, self.line, what);
        }
        self.report
    }

    /// The rest of a line that is longer than any.
    fn skip(&mut self, reader: &mut (impl BufRead + ?Sized)) -> io::Result<()> {
        let mut rest = Vec::new();
        loop {
            rest.clear();
            let read = (&mut *reader)
                .take(MAX_LINE as u64)
                .read_until(b'\n', &mut rest)?;
            let ended = rest.last() == Some(&b'\n');
            if ended {
                rest.pop();
            }
            self.bad.feed(&rest);
            if ended || read == 0 {
                return Ok(());
            }
        }
    }

    /// A line, without its newline.
    fn take(&mut self, line: &[u8]) {
        let Some(link) = chain::link(line) else {
            self.bad.push(self.line);
            self.bad.feed(line);
            return;
        };
        let follows = self.follows(&link);
        match link.torn {
            Some(torn) if follows && !self.bad.is_empty() && self.bad.is(torn) => {
                self.report.mended += 1;
                self.bad = Bad::default();
            }
            Some(_) if follows && self.bad.is_empty() => {
                self.problem(What::TornRemoved);
            }
            Some(_) | None => {}
        }
        // A changed line had a number, too.
        let changed = self.bad.count();
        self.give_up();
        self.place(&link, changed);
        self.report.records += 1;
        self.report.first = self.report.first.or(Some(link.seq));
        if let Some(expected) = self.expected
            && expected.seq == link.seq
        {
            self.expected_seen = true;
            if expected.hash != link.hash {
                self.problem(What::HeadDiffers { expected });
            }
        }
    }

    /// Whether it is the one behind the last record.
    fn follows(&self, link: &Link) -> bool {
        match self.last {
            Some(last) => link.seq == last.seq + 1 && link.prev == last.hash,
            None => true,
        }
    }

    /// Holds a record against the last one, behind which `changed` lines are no records.
    fn place(&mut self, link: &Link, changed: u64) {
        let head = Head {
            seq: link.seq,
            hash: link.hash,
        };
        let Some(last) = self.last else {
            let begins = link.seq == 1;
            if begins != (link.prev == Hash::NONE) || link.seq == 0 {
                self.problem(What::Unchained { seq: link.seq });
            }
            self.last = Some(head);
            return;
        };
        let next = last.seq.saturating_add(1);
        let reached = next.saturating_add(changed);
        if link.seq < next {
            self.problem(What::Misplaced {
                seq: link.seq,
                after: last.seq,
            });
            return;
        }
        if link.seq > reached {
            self.problem(What::Missing {
                from: reached,
                to: link.seq - 1,
            });
        } else if link.seq == next && link.prev != last.hash {
            self.problem(What::Unchained { seq: link.seq });
        }
        self.last = Some(head);
    }

    /// What was not said to be torn was changed.
    fn give_up(&mut self) {
        let bad = std::mem::take(&mut self.bad);
        for line in bad.lines {
            self.report.problem(self.file.clone(), line, What::Changed);
        }
        self.report.more += bad.more;
    }

    fn problem(&mut self, what: What) {
        self.report.problem(self.file.clone(), self.line, what);
    }
}
