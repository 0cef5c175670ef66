//! Which memory is locked.
//!
//! The kernel tells it in `/proc/self/smaps`, which is opened before the program may have given up opening files.
//!
//! **Invariant:** that file, which is slow to make, is read once for each range that was found locked.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::{Mutex, PoisonError};

/// The ranges that were found locked.
#[derive(Debug)]
pub(crate) struct LockedRanges {
    known: Mutex<Vec<(u64, u64)>>,
    smaps: File,
}

impl LockedRanges {
    /// As `/proc/self/smaps` tells it, which this is.
    pub(crate) fn new(smaps: File) -> Self {
        Self {
            known: Mutex::default(),
            smaps,
        }
    }

    /// All of `addr .. addr + bytes` is locked, as a mapping of its own or as part of one.
    pub(crate) fn holds(&self, addr: u64, bytes: u64) -> bool {
        let Some(end) = addr.checked_add(bytes) else {
            return false;
        };
        let covers = |(from, to): &(u64, u64)| *from <= addr && end <= *to;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.iter().any(covers) {
            return true;
        }
        let smaps = self.read().unwrap_or_default();
        *known = locked_ranges(&smaps);
        known.iter().any(covers)
    }

    /// From the start: a file of /proc is made anew for that.
    fn read(&self) -> io::Result<String> {
        let mut smaps = &self.smaps;
        let mut text = String::new();
        smaps.rewind()?;
        smaps.read_to_string(&mut text)?;
        Ok(text)
    }
}

/// The mappings whose flags say `lo`; neighbours become one.
fn locked_ranges(smaps: &str) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut mapping = None;
    for line in smaps.lines() {
        if let Some(range) = heading(line) {
            mapping = Some(range);
        } else if let Some(flags) = line.strip_prefix("VmFlags:")
            && flags.split_whitespace().any(|flag| flag == "lo")
            && let Some((from, to)) = mapping
        {
            match ranges.last_mut() {
                Some((_, end)) if *end == from => *end = to,
                Some(_) | None => ranges.push((from, to)),
            }
        }
    }
    ranges
}

/// `7f12a000-7f12b000 rw-p …`.
fn heading(line: &str) -> Option<(u64, u64)> {
    let (from, to) = line.split_whitespace().next()?.split_once('-')?;
    let parse = |hex| u64::from_str_radix(hex, 16).ok();
    Some((parse(from)?, parse(to)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_neighbours_are_one_range_and_the_others_none() {
        let smaps = "1000-2000 rw-p 0 00:00 0\nSize: 4 kB\nVmFlags: rd wr lo\n\
                     2000-3000 rw-p 0 00:00 0\nVmFlags: rd lo ac\n\
                     3000-4000 rw-p 0 00:00 0\nVmFlags: rd wr\n\
                     5000-6000 r--p 0 00:00 0\nVmFlags: lo\n";
        assert_eq!(locked_ranges(smaps), [(0x1000, 0x3000), (0x5000, 0x6000)]);
    }
}
