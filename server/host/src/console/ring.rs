//! The newest output of a guest, in the order in which it was written.
//!
//! **Invariant:** at most [`CONSOLE_BUFFER`] bytes are kept, however they came.

use std::collections::VecDeque;

use crate::{
    guest::ConsolePort,
    protocol::{CONSOLE_BUFFER, ConsoleRun, MAX_CONSOLE_OUTPUT},
};

/// Most runs in one message. Each costs at most 10 bytes beside its data, so that a message of all bytes and all runs fits a frame.
const MAX_RUNS: usize = 2048;

/// Bytes, each with its port: two bytes of memory for one, so that a guest that changes port with every byte costs no more than another.
#[derive(Debug, Default)]
pub(super) struct Ring {
    kept: VecDeque<(ConsolePort, u8)>,
    /// Bytes written before the first that is kept.
    start: u64,
}

impl Ring {
    /// Keeps these bytes, and forgets as many of the oldest as there is no room for.
    pub(super) fn write(&mut self, port: ConsolePort, bytes: &[u8]) {
        for byte in bytes {
            if self.kept.len() == CONSOLE_BUFFER {
                self.kept.pop_front();
                self.start += 1;
            }
            self.kept.push_back((port, *byte));
        }
    }

    /// Bytes that were written, ever.
    pub(super) fn end(&self) -> u64 {
        self.start + self.kept.len() as u64
    }

    /// What was written from `offset` on, or from the first byte that is still kept, as much as fits one message; and the offset of that.
    pub(super) fn read(&self, offset: u64) -> (u64, Vec<ConsoleRun>) {
        let offset = offset.clamp(self.start, self.end());
        let skip = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let mut runs: Vec<ConsoleRun> = Vec::new();
        for (port, byte) in self.kept.iter().skip(skip).take(MAX_CONSOLE_OUTPUT) {
            let full = runs.len() == MAX_RUNS;
            match runs.last_mut() {
                Some(run) if run.port == port.number() => run.data.push(*byte),
                Some(_) | None if full => break,
                Some(_) | None => runs.push(ConsoleRun {
                    port: port.number(),
                    data: vec![*byte],
                }),
            }
        }
        (offset, runs)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::{protocol, wire};

    fn text(runs: &[ConsoleRun]) -> Vec<(u32, &[u8])> {
        runs.iter()
            .map(|run| (run.port, run.data.as_slice()))
            .collect()
    }

    #[test]
    fn runs_are_merged_and_ports_stay_in_order() {
        let mut ring = Ring::default();
        ring.write(ConsolePort::Serial, b"ab");
        ring.write(ConsolePort::Serial, b"c");
        ring.write(ConsolePort::Debug, b"d");
        ring.write(ConsolePort::Serial, b"e");
        let (offset, runs) = ring.read(0);
        assert_eq!(offset, 0);
        assert_eq!(text(&runs), [(1, &b"abc"[..]), (2, b"d"), (1, b"e")]);
        let (offset, runs) = ring.read(2);
        assert_eq!(
            (offset, text(&runs)),
            (2, vec![(1, &b"c"[..]), (2, b"d"), (1, b"e")])
        );
        assert_eq!(ring.read(u64::MAX), (5, Vec::new()), "not yet written");
    }

    #[test]
    fn the_oldest_bytes_are_forgotten_and_the_offset_says_so() {
        let mut ring = Ring::default();
        for byte in 0..=u8::MAX {
            ring.write(ConsolePort::Serial, &[byte; CONSOLE_BUFFER / 128]);
        }
        assert_eq!(ring.kept.len(), CONSOLE_BUFFER);
        assert_eq!(ring.end(), 2 * CONSOLE_BUFFER as u64);
        let (offset, runs) = ring.read(7);
        assert_eq!(offset, CONSOLE_BUFFER as u64);
        assert_eq!(runs[0].data[0], 128);
        assert_eq!(runs[0].data.len(), MAX_CONSOLE_OUTPUT);
    }

    #[test]
    fn a_message_fits_a_frame_even_if_the_port_changes_with_every_byte() {
        let mut ring = Ring::default();
        for at in 0..CONSOLE_BUFFER {
            let port = [ConsolePort::Serial, ConsolePort::Debug][at % 2];
            ring.write(port, b"x");
        }
        let mut offset = 0;
        while offset < ring.end() {
            let (at, runs) = ring.read(offset);
            let bytes: usize = runs.iter().map(|run| run.data.len()).sum();
            assert_eq!(at, offset);
            let message = protocol::Console {
                offset,
                runs,
                input_taken: u64::MAX,
            };
            assert!(message.encoded_len() + 64 < wire::MAX_FRAME);
            offset += bytes as u64;
        }
    }
}
