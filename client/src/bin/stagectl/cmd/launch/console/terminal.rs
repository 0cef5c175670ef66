//! The terminal in raw mode: every key is the guest's.
//!
//! **Invariant:** what was found is put back when the guard goes, in a panic too.

use std::io;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// The terminal on standard input, raw for as long as this lives.
#[derive(Debug)]
pub(super) struct Raw {
    before: Termios,
}

impl Raw {
    /// Makes it raw. Output is left as it is: a line feed alone goes to the start of a line.
    pub(super) fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        raw.output_modes = before.output_modes;
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // At once: output that is held (Ctrl-S) may never drain. A terminal that is gone needs nothing put back.
        tcsetattr(io::stdin(), OptionalActions::Now, &self.before).ok();
    }
}
