//! The one chunk that a connection's calls may have taken from HTTP/2 before there is room for it in the budget.
//!
//! hyper gives a peer its window back with the chunk that it hands out (`poll_frame()`, hyper/src/body/incoming.rs), and the
//! chunk's size is known only then. So a chunk without room is outside of both accounts; one for each connection is accounted
//! for (see `shares`), and while it is held no other call of the connection takes one.
//!
//! **Invariant:** a hand is never kept for a call that is not being polled, except with a chunk in it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// A connection's hand.
#[derive(Debug, Default)]
pub(super) struct Hand(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    full: bool,
    /// Calls that found it full. Bounded by the calls of one connection.
    waiting: Vec<Waker>,
}

/// A hand that is in use. Free again when dropped.
#[derive(Debug)]
pub(super) struct InHand(Arc<Hand>);

impl Hand {
    /// Takes the hand when it is free. Nobody is in turn: a queue could give it to a call that does not look any more.
    pub(super) fn poll_take(self: &Arc<Self>, cx: &Context<'_>) -> Poll<InHand> {
        let mut state = self.state();
        if state.full {
            if !state
                .waiting
                .iter()
                .any(|known| known.will_wake(cx.waker()))
            {
                state.waiting.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        state.full = true;
        Poll::Ready(InHand(Arc::clone(self)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.0.state();
            state.full = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_those_who_wait_are_woken() {
        let hand = Arc::new(Hand::default());
        let first = poll_fn(|cx| hand.poll_take(cx)).await;
        let second = tokio::spawn({
            let hand = Arc::clone(&hand);
            async move { drop(poll_fn(|cx| hand.poll_take(cx)).await) }
        });
        while hand.state().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        drop(first);
        second.await.expect("is woken");
        assert!(!hand.state().full);
    }
}
