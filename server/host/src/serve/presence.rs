//! Whether a daemon is there.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// The daemons that were admitted and have not hung up.
#[derive(Debug)]
pub(super) struct Presence(Mutex<State>);

#[derive(Debug)]
struct State {
    daemons: usize,
    /// Since when there is none, if there is none.
    alone: Instant,
}

impl Presence {
    /// Nobody is there, from now on.
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            daemons: 0,
            alone: Instant::now(),
        }))
    }

    /// One more is there.
    pub(super) fn came(&self) {
        self.state().daemons += 1;
    }

    /// One is gone.
    pub(super) fn gone(&self) {
        let mut state = self.state();
        state.daemons = state.daemons.saturating_sub(1);
        state.alone = Instant::now();
    }

    /// Since when nobody is there; `None` while somebody is.
    pub(super) fn alone_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.daemons == 0).then_some(state.alone)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_alone_when_the_last_of_several_is_gone() {
        let presence = Presence::new();
        let born = presence.alone_since().unwrap();
        presence.came();
        presence.came();
        presence.gone();
        assert_eq!(presence.alone_since(), None);
        presence.gone();
        assert!(presence.alone_since().unwrap() >= born);
    }
}
