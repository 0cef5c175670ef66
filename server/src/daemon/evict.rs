//! Forgetting launches that have been over for long.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use stagepages_audit::Event;

use super::Registry;

/// How long a launch that is over is kept unless it is deleted.
const KEEP_ENDED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Between two looks.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Looks at once, and then every hour, for as long as the daemon runs.
pub(super) async fn evict(registry: Arc<Registry>) {
    let mut hourly = tokio::time::interval(EVERY);
    loop {
        hourly.tick().await;
        for launch in registry.list() {
            let status = launch.status();
            if !(status.released && overdue(status.over, SystemTime::now())) {
                continue;
            }
            // First the file, so that a launch that was forgotten does not come back.
            match launch.forget().await {
                Ok(()) => {
                    registry.remove(&launch);
                    launch.tell_forgotten(Event::LaunchEvicted);
                    tracing::info!(
                        launch = launch.id,
                        uid = launch.uid,
                        "launch forgotten: it has been over for long"
                    );
                }
                Err(error) => {
                    tracing::error!(launch = launch.id, %error, "the record of a launch stays");
                }
            }
        }
    }
}

fn overdue(over: Option<SystemTime>, now: SystemTime) -> bool {
    // A clock that was set back makes it younger, never older.
    over.and_then(|over| now.duration_since(over).ok())
        .is_some_and(|age| age > KEEP_ENDED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_for_longer_than_a_week_is_overdue_and_nothing_else() {
        let now = SystemTime::now();
        let second = Duration::from_secs(1);
        assert!(overdue(Some(now - KEEP_ENDED - second), now));
        for kept in [None, Some(now - KEEP_ENDED), Some(now + KEEP_ENDED * 2)] {
            assert!(!overdue(kept, now));
        }
    }
}
