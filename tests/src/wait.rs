//! Waiting for something that the product brings about on its own, with a bound.
//!
//! **Invariant:** no caller learns anything from the time that passed; only the condition counts.
use std::time::Duration;

use tokio::time::Instant;

/// Longer than anything that works ever takes, on a loaded machine.
pub const LONG: Duration = Duration::from_secs(60);

/// Asks `probe` until it gives an answer, and returns that.
///
/// # Panics
/// If it gives none within [`LONG`]; `what` then says what was awaited.
pub async fn eventually<T>(what: &str, probe: impl AsyncFn() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited {} s in vain for {what}",
            LONG.as_secs()
        );
        // The pace of asking, nothing more: a busy loop would take the processor from what is awaited.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
