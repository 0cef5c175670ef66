//! How long the daemon waits for a peer that stopped in the middle of a message, or does not take what it is answered.
//!
//! As long as there is room in the receive budget, that is `stall_timeout`. While others wait for room, it is one second: who
//! holds room without using it makes way.
//!
//! **Invariant:** only waiting for the peer counts, never waiting for the daemon.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    budget::{Budget, Standing},
    tally::Trouble,
};

/// How long is waited while others wait for room.
const SHORT: Duration = Duration::from_secs(1);

/// What bounds all calls of a server.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    pub(super) stall_timeout: Duration,
    pub(super) budget: Arc<Budget>,
    pub(super) trouble: Arc<Trouble>,
}

/// A peer that may be waited for.
#[derive(Debug)]
pub(super) struct Stall {
    patience: Patience,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    look: Pin<Box<Sleep>>,
}

impl Waiting {
    fn until(look: Instant) -> Self {
        Self {
            since: Instant::now(),
            look: Box::pin(sleep_until(look)),
        }
    }
}

impl Patience {
    fn is_over(&self, since: Instant, standing: Standing) -> bool {
        let waited = since.elapsed();
        waited >= self.stall_timeout || (waited >= SHORT && self.budget.is_short(standing))
    }

    fn next_look(&self, since: Instant) -> Instant {
        (since + self.stall_timeout).min(Instant::now() + SHORT)
    }
}

impl Stall {
    pub(super) fn new(patience: Patience) -> Self {
        Self {
            patience,
            waiting: None,
        }
    }

    /// The peer is not waited for, or has done something.
    pub(super) fn clear(&mut self) {
        self.waiting = None;
    }

    /// Waits for the peer, since the first time after `clear`. Ready with the time once that was long enough for a call that
    /// holds room among those of `standing`, or when `deadline` has passed.
    pub(super) fn poll(
        &mut self,
        standing: Standing,
        deadline: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<Duration> {
        let Self { patience, waiting } = self;
        let next = |since| {
            let look = patience.next_look(since);
            deadline.map_or(look, |deadline| look.min(deadline))
        };
        let waiting = waiting.get_or_insert_with(|| Waiting::until(next(Instant::now())));
        loop {
            ready!(waiting.look.as_mut().poll(cx));
            let late = deadline.is_some_and(|deadline| deadline <= Instant::now());
            if late || patience.is_over(waiting.since, standing) {
                return Poll::Ready(waiting.since.elapsed());
            }
            waiting.look.as_mut().reset(next(waiting.since));
        }
    }

    /// Waits for a peer that may take its time: until `deadline`, or without end.
    pub(super) fn poll_deadline(
        &mut self,
        deadline: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<Duration> {
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        let waiting = self.waiting.get_or_insert_with(|| Waiting::until(deadline));
        ready!(waiting.look.as_mut().poll(cx));
        Poll::Ready(waiting.since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::net::Limits;

    fn patience() -> Patience {
        Patience {
            stall_timeout: Duration::from_secs(30),
            budget: Arc::new(Budget::new(&Limits::default()).expect("suffices")),
            trouble: Arc::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_timeout_counts_from_the_last_sign_of_life() {
        let mut stall = Stall::new(patience());
        assert!(poll_once(&mut stall).is_none());
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(poll_once(&mut stall).is_none());
        stall.clear();
        let waited = poll_fn(|cx| stall.poll(Standing::Known, None, cx)).await;
        assert_eq!(waited, Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn who_stalls_makes_way_for_those_who_wait() {
        let patience = patience();
        let budget = Arc::clone(&patience.budget);
        let mut stall = Stall::new(patience);
        let mut held = Vec::new();
        while let Some(room) = budget.try_room(Standing::Known, 1 << 20) {
            held.push(room);
        }
        let room = || Arc::clone(&budget).room(Standing::Known, 1 << 20);
        let _lane = room().await;
        let waiting = tokio::spawn(room());
        let waited = poll_fn(|cx| stall.poll(Standing::Known, None, cx)).await;
        assert!(waited < Duration::from_secs(3), "{waited:?}");
        held.clear();
        waiting.await.expect("no panic").expect("has room");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_sooner() {
        let mut stall = Stall::new(patience());
        let deadline = Some(Instant::now() + Duration::from_millis(2500));
        let waited = poll_fn(|cx| stall.poll(Standing::Known, deadline, cx)).await;
        assert_eq!(waited, Duration::from_millis(2500));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_may_pause_is_waited_for_until_its_deadline_alone() {
        let mut stall = Stall::new(patience());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(stall.poll_deadline(None, &mut cx).is_pending());
        let deadline = Some(Instant::now() + Duration::from_secs(3600));
        let waited = poll_fn(|cx| stall.poll_deadline(deadline, cx)).await;
        assert_eq!(waited, Duration::from_secs(3600));
    }

    fn poll_once(stall: &mut Stall) -> Option<Duration> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match stall.poll(Standing::Known, None, &mut cx) {
            Poll::Ready(waited) => Some(waited),
            Poll::Pending => None,
        }
    }
}
