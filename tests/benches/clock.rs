//! Times of single calls, and what lies in their middle and at their end.
//!
//! **Invariant:** no call is left out of a percentile, however slow it was.

use std::time::{Duration, Instant};

/// Times of one kind of call.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// Makes a call, and notes what it took.
    pub(crate) async fn take<T>(&mut self, call: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let answer = call.await;
        self.0.push(begun.elapsed());
        answer
    }

    /// The time that so many of a hundred calls did not exceed, in seconds.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(index).map_or(f64::NAN, Duration::as_secs_f64)
    }
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = sorted.len() / 2;
    match (sorted.get(upper.saturating_sub(1)), sorted.get(upper)) {
        (Some(below), Some(above)) if sorted.len().is_multiple_of(2) => below.midpoint(*above),
        (_, Some(middle)) => *middle,
        (_, None) => f64::NAN,
    }
}
