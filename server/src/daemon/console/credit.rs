//! The credit of those who write to a guest's serial port: how much may be on its way to a guest that has not taken it.
//!
//! Whoever writes waits in a line, and a turn is small, so that a file that is poured in does not keep out a key that is pressed.
//!
//! **Invariant:** what is sent and not taken is never more than [`CONSOLE_INPUT`], whatever the host says that it has taken.

use std::sync::{Mutex, MutexGuard, PoisonError};

use stagepages_host::protocol::CONSOLE_INPUT;
use tokio::sync::Semaphore;

/// Room for input.
#[derive(Debug)]
pub(super) struct Credit {
    /// One permit for each byte that may be sent.
    free: Semaphore,
    flow: Mutex<Flow>,
}

#[derive(Debug, Default)]
struct Flow {
    /// Granted and not known to be taken.
    outstanding: usize,
    /// Bytes that the guest has taken, ever.
    taken: u64,
}

/// Permission to send so many bytes. What is not [`sent`](Self::sent) is given back.
#[derive(Debug)]
#[must_use]
pub struct Granted<'a> {
    credit: &'a Credit,
    bytes: usize,
}

impl Default for Credit {
    fn default() -> Self {
        Self {
            free: Semaphore::new(CONSOLE_INPUT),
            flow: Mutex::default(),
        }
    }
}

impl Credit {
    /// Waits for room for `bytes`, at most for all there is.
    pub(super) async fn grant(&self, bytes: usize) -> Granted<'_> {
        let bytes = bytes.min(CONSOLE_INPUT);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        // Never closed, so this is always a permit; it lives on as the grant.
        if let Ok(permit) = self.free.acquire_many(permits).await {
            permit.forget();
        }
        // Before anything is sent: the host may say that it is taken before the sender goes on.
        self.flow().outstanding += bytes;
        Granted {
            credit: self,
            bytes,
        }
    }

    /// Takes that the guest has taken `total` bytes, ever.
    pub(super) fn taken(&self, total: u64) {
        let mut flow = self.flow();
        let news = total.saturating_sub(flow.taken);
        flow.taken = flow.taken.max(total);
        // Of a daemon before this one there may be input that this one did not send.
        let news = usize::try_from(news)
            .unwrap_or(usize::MAX)
            .min(flow.outstanding);
        flow.outstanding -= news;
        self.free.add_permits(news);
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Granted<'_> {
    /// How many bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes are on their way.
    pub fn sent(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Granted<'_> {
    fn drop(&mut self) {
        let mut flow = self.credit.flow();
        // A host that claims more than it was sent may have been believed about these.
        let unsent = self.bytes.min(flow.outstanding);
        flow.outstanding -= unsent;
        self.credit.free.add_permits(unsent);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn waits(grant: std::pin::Pin<&mut impl Future>) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        matches!(grant.poll(&mut cx), Poll::Pending)
    }

    #[tokio::test]
    async fn no_more_is_sent_than_the_guest_may_still_take() {
        let credit = Credit::default();
        let all = credit.grant(usize::MAX).await;
        assert_eq!(all.bytes(), CONSOLE_INPUT);
        all.sent();
        let mut more = pin!(credit.grant(10));
        assert!(waits(more.as_mut()));
        credit.taken(9);
        assert!(waits(more.as_mut()));
        credit.taken(10);
        assert!(!waits(more.as_mut()));
    }

    #[tokio::test]
    async fn who_asked_first_is_served_first() {
        let credit = Credit::default();
        credit.grant(CONSOLE_INPUT).await.sent();
        let mut first = pin!(credit.grant(100));
        let mut second = pin!(credit.grant(1));
        assert!(waits(first.as_mut()) && waits(second.as_mut()));
        credit.taken(50);
        assert!(
            waits(second.as_mut()),
            "one byte would fit, but not its turn"
        );
        credit.taken(101);
        assert!(!waits(first.as_mut()) && !waits(second.as_mut()));
    }

    #[tokio::test]
    async fn what_is_granted_and_not_sent_comes_back() {
        let credit = Credit::default();
        drop(credit.grant(CONSOLE_INPUT).await);
        credit.grant(CONSOLE_INPUT).await.sent();
        assert_eq!(credit.free.available_permits(), 0);
    }

    #[tokio::test]
    async fn a_host_that_claims_too_much_gains_nothing() {
        let credit = Credit::default();
        credit.taken(u64::MAX);
        credit.taken(3);
        assert_eq!(credit.free.available_permits(), CONSOLE_INPUT);
        let granted = credit.grant(5).await;
        credit.taken(u64::MAX);
        drop(granted);
        assert_eq!(credit.free.available_permits(), CONSOLE_INPUT);
    }
}
