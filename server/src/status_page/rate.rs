//! How often one caller may ask: a page that is open asks every two seconds, and an operator has a few open.
//!
//! **Invariant:** what is remembered is bounded, whoever asks.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::net::PeerInfo;

/// Requests that may come at once.
const BURST: u32 = 40;

/// After this time there may be one more.
const EACH: Duration = Duration::from_millis(100);

/// Callers that are told apart. More share one allowance.
const CALLERS: usize = 256;

/// When each caller's allowance is full again.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<String, Instant>>);

impl Rates {
    /// Whether this caller may ask now; if so, that counts.
    pub(super) fn take(&self, peer: &PeerInfo) -> bool {
        let name = peer.names().into_iter().next().unwrap_or_default();
        self.take_at(name, Instant::now())
    }

    fn take_at(&self, name: String, now: Instant) -> bool {
        let mut full = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if full.len() >= CALLERS && !full.contains_key(&name) {
            full.retain(|_, full| *full > now);
        }
        let room = full.len() < CALLERS || full.contains_key(&name);
        let name = if room { name } else { String::new() };
        let full = full.entry(name).or_insert(now);
        let next = (*full).max(now) + EACH;
        if next > now + EACH * BURST {
            return false;
        }
        *full = next;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_a_burst_and_then_ten_a_second() {
        let (rates, now) = (Rates::default(), Instant::now());
        let many = |name: &str, at| {
            let taken = (0..1000).filter(|_| rates.take_at(name.to_owned(), at));
            taken.count()
        };
        assert_eq!(many("a", now), 40);
        assert_eq!(many("b", now), 40);
        assert_eq!(many("a", now + Duration::from_secs(1)), 10);
    }

    #[test]
    fn a_crowd_shares_what_is_left() {
        let (rates, now) = (Rates::default(), Instant::now());
        for nth in 0..10_000 {
            rates.take_at(nth.to_string(), now);
        }
        assert!(rates.0.lock().unwrap().len() <= CALLERS + 1);
        assert!(rates.take_at("later".to_owned(), now + Duration::from_secs(60)));
    }
}
