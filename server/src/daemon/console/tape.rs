//! The newest output of a guest, each byte with its port and its place in all that the guest ever wrote. Pure.
//!
//! A byte is kept together with its port, so that the memory for it does not depend on how often the port changes.
//!
//! **Invariant:** holds the bytes from `start` to `end` without a gap, at most [`CONSOLE_BUFFER`] of them.

use std::collections::VecDeque;

use stagepages_host::{guest::ConsolePort, protocol::CONSOLE_BUFFER};

/// Most changes of port in one [`Piece`]: each costs a message of its own.
const MAX_RUNS: usize = 256;

/// What a guest wrote.
#[derive(Debug, Default)]
pub struct Tape {
    end: u64,
    /// Hosts that were asked for what they keep and have not answered.
    owed: usize,
    kept: VecDeque<(ConsolePort, u8)>,
}

/// Consecutive output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Bytes that the guest wrote before it.
    pub offset: u64,
    /// The output; neighbours have different ports.
    pub runs: Vec<(ConsolePort, Vec<u8>)>,
}

impl Tape {
    /// Bytes that the guest has written.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether a host may still tell of output, although its guest has stopped.
    #[must_use]
    pub fn is_owed(&self) -> bool {
        self.owed > 0
    }

    pub(super) fn owe(&mut self) {
        self.owed += 1;
    }

    pub(super) fn settle(&mut self) {
        self.owed -= 1;
    }

    /// Bytes before the oldest that is kept.
    fn start(&self) -> u64 {
        self.end.saturating_sub(self.kept.len() as u64)
    }

    /// Takes `data`, before which the guest had written `offset` bytes. What is known already is not taken again; what lies between is missed,
    /// and what was kept before such a gap is forgotten.
    pub fn record(&mut self, offset: u64, port: ConsolePort, data: &[u8]) {
        let known = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let Some(news @ [_, ..]) = data.get(known..) else {
            return;
        };
        if offset > self.end {
            self.kept.clear();
            self.end = offset;
        }
        let newest = &news[news.len().saturating_sub(CONSOLE_BUFFER)..];
        let too_many = (self.kept.len() + newest.len()).saturating_sub(CONSOLE_BUFFER);
        self.kept.drain(..too_many);
        self.kept.extend(newest.iter().map(|byte| (port, *byte)));
        self.end = self.end.saturating_add(news.len() as u64);
    }

    /// The oldest output that is kept from `from` on, at most `bytes` of it; `None` if there is none yet.
    #[must_use]
    pub fn read(&self, from: u64, bytes: usize) -> Option<Piece> {
        self.piece(from, bytes, MAX_RUNS)
    }

    /// All that is kept; `None` if there is none.
    #[must_use]
    pub fn all(&self) -> Option<Piece> {
        self.piece(0, CONSOLE_BUFFER, CONSOLE_BUFFER)
    }

    fn piece(&self, from: u64, bytes: usize, max_runs: usize) -> Option<Piece> {
        let offset = from.max(self.start());
        let first = usize::try_from(offset - self.start()).unwrap_or(usize::MAX);
        let mut runs: Vec<(ConsolePort, Vec<u8>)> = Vec::new();
        for (port, byte) in self.kept.iter().skip(first).take(bytes) {
            let full = runs.len() == max_runs;
            match runs.last_mut() {
                Some((last, data)) if last == port => data.push(*byte),
                _ if full => break,
                _ => runs.push((*port, vec![*byte])),
            }
        }
        (!runs.is_empty()).then_some(Piece { offset, runs })
    }
}

impl Piece {
    /// Bytes that the guest had written when it ended.
    #[must_use]
    pub fn end(&self) -> u64 {
        let bytes: usize = self.runs.iter().map(|(_, data)| data.len()).sum();
        self.offset.saturating_add(bytes as u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SERIAL: ConsolePort = ConsolePort::Serial;
    const DEBUG: ConsolePort = ConsolePort::Debug;

    #[test]
    fn output_comes_in_its_order_with_its_ports() {
        let mut tape = Tape::default();
        assert_eq!(tape.read(0, 100), None);
        tape.record(0, SERIAL, b"one ");
        tape.record(4, SERIAL, b"two");
        tape.record(7, DEBUG, b"!");
        let piece = tape.read(1, 100).unwrap();
        assert_eq!(piece.offset, 1);
        assert_eq!(
            piece.runs,
            [(SERIAL, b"ne two".to_vec()), (DEBUG, b"!".to_vec())]
        );
        assert_eq!(piece.end(), 8);
        assert_eq!(tape.read(8, 100), None);
        assert_eq!(tape.read(1, 2).unwrap().runs, [(SERIAL, b"ne".to_vec())]);
    }

    #[test]
    fn what_is_told_twice_is_kept_once() {
        let mut tape = Tape::default();
        tape.record(0, SERIAL, b"abcd");
        tape.record(2, SERIAL, b"cdef");
        tape.record(0, SERIAL, b"ab");
        tape.record(6, SERIAL, b"");
        assert_eq!(
            tape.read(0, 100).unwrap().runs,
            [(SERIAL, b"abcdef".to_vec())]
        );
        assert_eq!(tape.end(), 6);
    }

    #[test]
    fn a_gap_shows_in_the_offset() {
        let mut tape = Tape::default();
        tape.record(0, SERIAL, b"old");
        tape.record(1000, DEBUG, b"new");
        let piece = tape.read(3, 100).unwrap();
        assert_eq!((piece.offset, piece.end()), (1000, 1003));
    }

    #[test]
    fn ports_that_alternate_cost_no_more() {
        let mut tape = Tape::default();
        let mut offset = 0;
        for _ in 0..CONSOLE_BUFFER {
            tape.record(offset, SERIAL, b"s");
            tape.record(offset + 1, DEBUG, b"d");
            offset += 2;
        }
        assert_eq!(tape.kept.len(), CONSOLE_BUFFER);
        assert!(tape.kept.capacity() <= 2 * CONSOLE_BUFFER);
        let piece = tape.read(0, CONSOLE_BUFFER).unwrap();
        assert_eq!(piece.runs.len(), MAX_RUNS);
        assert_eq!(piece.offset, offset - CONSOLE_BUFFER as u64);
    }

    #[test]
    fn offsets_beyond_all_bounds_do_no_harm() {
        let mut tape = Tape::default();
        tape.record(u64::MAX, SERIAL, b"ab");
        tape.record(u64::MAX, SERIAL, b"cd");
        tape.record(0, SERIAL, b"ef");
        assert_eq!(tape.end(), u64::MAX);
        assert_eq!(tape.read(u64::MAX, 10), None);
    }

    proptest! {
        /// A reader that reads now and then sees a part of what was written, each byte at its place, and misses only what is too old.
        #[test]
        fn a_slow_reader_misses_only_what_is_not_kept(
            steps in prop::collection::vec((1_usize..40_000, any::<bool>(), prop::option::of(1_usize..30_000)), 1..40)
        ) {
            let mut tape = Tape::default();
            let mut written = Vec::new();
            let mut at = 0;
            for (bytes, debug, read) in steps {
                let port = if debug { DEBUG } else { SERIAL };
                let data: Vec<u8> = (written.len()..written.len() + bytes).map(|n| u8::try_from(n % 251).unwrap()).collect();
                tape.record(written.len() as u64, port, &data);
                written.extend(data.into_iter().map(|byte| (port, byte)));
                let Some(most) = read else { continue };
                let oldest = (written.len() - written.len().min(CONSOLE_BUFFER)) as u64;
                if let Some(piece) = tape.read(at, most) {
                    prop_assert_eq!(piece.offset, at.max(oldest));
                    let start = usize::try_from(piece.offset).unwrap();
                    let seen: Vec<_> = piece.runs.iter().flat_map(|(port, data)| data.iter().map(|byte| (*port, *byte))).collect();
                    prop_assert!(seen.len() <= most);
                    prop_assert_eq!(&written[start..start + seen.len()], &seen[..]);
                    at = piece.end();
                } else {
                    prop_assert_eq!(at, written.len() as u64);
                }
            }
        }
    }
}
