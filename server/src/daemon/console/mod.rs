//! A guest's console, as the daemon has it: what the guest wrote last, for any number of readers, and the credit of those who write to it.
//!
//! ```text
//!  host ──Console{offset, runs}──▶ Tape ──▶ each reader, from where it is
//!       ──Console{input_taken}──▶ Credit ◀── each writer, in turn
//! ```
//!
//! **Invariant:** what is kept is bounded, whatever the guest writes and however slowly anybody reads; nobody who reads or writes holds up the
//! guest or another.

mod credit;
mod tape;

use std::sync::Arc;

use stagepages_host::{
    guest::ConsolePort,
    protocol::{self, ConsoleRun},
};
use tokio::sync::watch;

pub use credit::Granted;
pub use tape::{Piece, Tape};

use credit::Credit;

/// The console of one launch.
#[derive(Debug, Default)]
pub struct Console {
    tape: watch::Sender<Tape>,
    credit: Credit,
}

/// A host is asked for what it keeps; until this is dropped, the end of its guest is not the end of the output.
#[derive(Debug)]
pub struct Owed(Arc<Console>);

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.tape.send_modify(Tape::settle);
    }
}

impl Console {
    /// Notes that a host is about to be asked for what it keeps.
    #[must_use]
    pub fn owe(self: &Arc<Self>) -> Owed {
        self.tape.send_modify(Tape::owe);
        Owed(Arc::clone(self))
    }

    /// Takes what the host tells.
    pub fn told(&self, console: &protocol::Console) {
        self.credit.taken(console.input_taken);
        self.tape.send_if_modified(|tape| {
            let before = tape.end();
            let mut offset = console.offset;
            for run in &console.runs {
                match ConsolePort::from_number(run.port) {
                    Ok(port) => tape.record(offset, port, &run.data),
                    // A port of tomorrow: its bytes count as missed.
                    Err(error) => tracing::debug!(%error, "console output is left out"),
                }
                offset = offset.saturating_add(run.data.len() as u64);
            }
            tape.end() != before
        });
    }

    /// How many bytes the guest has written, as far as the host has told: from where on it is to be told more.
    pub fn offset(&self) -> u64 {
        self.tape.borrow().end()
    }

    /// What is kept of what the guest wrote, as its host would tell it; `None` if it wrote nothing.
    pub fn tail(&self) -> Option<protocol::Console> {
        let piece = self.tape.borrow().all()?;
        let runs = piece.runs.into_iter().map(|(port, data)| ConsoleRun {
            port: port.number(),
            data,
        });
        Some(protocol::Console {
            offset: piece.offset,
            runs: runs.collect(),
            input_taken: 0,
        })
    }

    /// What the guest writes, woken at every news.
    pub fn listen(&self) -> watch::Receiver<Tape> {
        self.tape.subscribe()
    }

    /// Waits for room for `bytes` of input, in order of asking; at most [`protocol::CONSOLE_INPUT`] are granted at once.
    pub async fn credit(&self, bytes: usize) -> Granted<'_> {
        self.credit.grant(bytes).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(port: ConsolePort, data: &[u8]) -> ConsoleRun {
        ConsoleRun {
            port: port.number(),
            data: data.to_vec(),
        }
    }

    #[tokio::test]
    async fn readers_are_woken_by_output_and_not_by_taken_input() {
        let console = Console::default();
        let mut reader = console.listen();
        console.told(&protocol::Console {
            offset: 0,
            runs: vec![
                run(ConsolePort::Serial, b"a"),
                run(ConsolePort::Debug, b"b"),
            ],
            input_taken: 0,
        });
        assert!(reader.has_changed().unwrap());
        assert_eq!(console.offset(), 2);
        reader.mark_unchanged();
        console.told(&protocol::Console {
            offset: 2,
            runs: vec![],
            input_taken: 9,
        });
        assert!(!reader.has_changed().unwrap());
    }

    #[tokio::test]
    async fn bytes_of_an_unknown_port_count_as_missed() {
        let console = Console::default();
        console.told(&protocol::Console {
            offset: 0,
            runs: vec![
                run(ConsolePort::Serial, b"a"),
                ConsoleRun {
                    port: 99,
                    data: b"??".to_vec(),
                },
                run(ConsolePort::Serial, b"b"),
            ],
            input_taken: 0,
        });
        let piece = console.listen().borrow().read(0, 16).unwrap();
        assert_eq!(
            (piece.offset, piece.runs),
            (3, vec![(ConsolePort::Serial, b"b".to_vec())])
        );
    }
}
