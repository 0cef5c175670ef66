//! How much is run: everything, or a smoke test that the benches still work.
//!
//! | variable                  | what                                                                                       |
//! |---------------------------|--------------------------------------------------------------------------------------------|
//! | `STAGEPAGES_BENCH_PAIRS`  | pairs that count, beside the one that warms up; 7 if it is not set                           |
//! | `STAGEPAGES_BENCH_SMOKE`  | set to anything: a sixteenth of the bytes and calls, one pair unless the other says more      |
//!
//! **Invariant:** a smoke test prints its figures, and judges none.

/// How much is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Pairs that count.
    pub(crate) pairs: usize,
    /// Whether the figures mean nothing.
    pub(crate) smoke: bool,
}

/// What a smoke test divides sizes and counts by.
const SMOKE_PART: u64 = 16;

impl Scale {
    /// As the environment says.
    pub(crate) fn from_environment() -> Self {
        let smoke = std::env::var_os("STAGEPAGES_BENCH_SMOKE").is_some();
        let pairs = std::env::var("STAGEPAGES_BENCH_PAIRS").ok().map(|pairs| {
            pairs
                .parse()
                .ok()
                .filter(|pairs| *pairs > 0)
                .unwrap_or_else(|| refuse(&pairs))
        });
        Self {
            pairs: pairs.unwrap_or(if smoke { 1 } else { 7 }),
            smoke,
        }
    }

    /// `full` of something, or a sixteenth of it; at least one.
    pub(crate) fn of(self, full: u64) -> u64 {
        if self.smoke {
            (full / SMOKE_PART).max(1)
        } else {
            full
        }
    }
}

#[expect(
    clippy::panic,
    reason = "a wrong variable ends the program, with what is wrong"
)]
fn refuse(pairs: &str) -> usize {
    panic!("STAGEPAGES_BENCH_PAIRS is {pairs:?}; it takes a number of pairs, at least 1")
}
