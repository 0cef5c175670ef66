//! Counting what peers do wrong, and saying so seldom.
//!
//! **Invariant:** no peer fills the log: one line for each kind of trouble in ten seconds, with the number so far.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{peer::PeerInfo, tls::Refusals};

const EVERY: Duration = Duration::from_secs(10);

/// A number of events of one kind.
#[derive(Debug, Default)]
pub(super) struct Tally {
    count: AtomicU64,
    said: Mutex<Option<Instant>>,
}

/// The kinds of trouble that peers make.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// Connections beyond the limit.
    pub(super) turned_away: Tally,
    /// Connections that had to make place for later ones before they began to speak HTTP/2.
    pub(super) driven_out: Tally,
    /// Connections that did not begin to speak it in time.
    pub(super) silent: Tally,
    /// Handshakes of TLS that failed.
    pub(super) handshakes: Refusals,
    /// Calls on connections whose client's certificate has expired since.
    pub(super) expired: Tally,
    /// Connections that ended because their peer flooded them.
    pub(super) floods: Tally,
    /// Requests that HTTP/2 itself refused: too many headers, or a rule broken.
    pub(super) broken: Tally,
    /// Requests that are not as gRPC frames them: compressed, cut short, too long.
    pub(super) misframed: Tally,
    /// Calls that were refused for the lack of room.
    pub(super) refused: Tally,
    /// Calls whose peer stopped in the middle.
    pub(super) stalled: Tally,
}

impl Trouble {
    /// How many there were of each kind.
    pub(super) fn counts(&self) -> [(&'static str, u64); 10] {
        let Self {
            turned_away,
            driven_out,
            silent,
            handshakes,
            expired,
            floods,
            broken,
            misframed,
            refused,
            stalled,
        } = self;
        [
            ("turned_away", turned_away.count()),
            ("driven_out", driven_out.count()),
            ("silent", silent.count()),
            ("handshake", handshakes.count_all()),
            ("expired_certificate", expired.count()),
            ("flood", floods.count()),
            ("broken_http2", broken.count()),
            ("misframed", misframed.count()),
            ("no_budget", refused.count()),
            ("stalled", stalled.count()),
        ]
    }

    /// Counts a connection that ends because its peer flooded it.
    pub(super) fn flooded(&self, peer: &PeerInfo) {
        if let Some(floods) = self.floods.one_more() {
            tracing::warn!(%peer, floods, "connections end because of floods");
        }
    }

    /// Counts a request whose framing is wrong.
    pub(super) fn misframed(&self, why: &str) {
        if let Some(misframed) = self.misframed.one_more() {
            tracing::warn!(
                misframed,
                "requests are refused because of their framing: {why}"
            );
        }
    }
}

impl Tally {
    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts one more; the number so far if it is time to say it.
    pub(super) fn one_more(&self) -> Option<u64> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_some_and(|at| at.elapsed() < EVERY) {
            return None;
        }
        *said = Some(Instant::now());
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_event_counts_and_few_are_said() {
        let tally = Tally::default();
        assert_eq!(tally.one_more(), Some(1));
        assert_eq!(tally.one_more(), None);
        tokio::time::advance(EVERY).await;
        assert_eq!(tally.one_more(), Some(3));
    }
}
