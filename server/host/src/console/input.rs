//! What was sent to a guest and is not yet read by it.
//!
//! Each connection has a queue of its own, so that one that is gone, or whose daemon has a successor, leaves nothing behind. What is told is one number
//! for all: bytes that are not on their way any more. After a daemon is greeted, only its own are, and so it can reckon with that number.
//!
//! **Invariant:** at most [`CONSOLE_INPUT`] bytes wait for each connection that is there.

use std::collections::VecDeque;

use crate::protocol::CONSOLE_INPUT;

/// A connection sent more than it has credit for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {CONSOLE_INPUT:#x} bytes of console input were sent before the guest took them")]
pub(crate) struct Overdrawn;

/// The queues of all connections.
#[derive(Debug, Default)]
pub(super) struct Input {
    queues: Vec<Queue>,
    taken: u64,
}

#[derive(Debug, Default)]
struct Queue {
    connection: u64,
    waiting: VecDeque<u8>,
}

impl Input {
    /// Queues what a connection sent, or drops it if that is more than it has credit for.
    pub(super) fn offer(&mut self, connection: u64, bytes: &[u8]) -> Result<(), Overdrawn> {
        let queue = self
            .queues
            .iter_mut()
            .find(|queue| queue.connection == connection);
        let waiting = queue.as_ref().map_or(0, |queue| queue.waiting.len());
        if bytes.len() > CONSOLE_INPUT.saturating_sub(waiting) {
            self.drop_at_once(bytes.len());
            return Err(Overdrawn);
        }
        match queue {
            Some(queue) => queue.waiting.extend(bytes),
            None => self.queues.push(Queue {
                connection,
                waiting: bytes.iter().copied().collect(),
            }),
        }
        Ok(())
    }

    /// Lends the guest what came first of one connection; `take` says how many of these bytes it took. Says whether it took any.
    pub(super) fn take(&mut self, take: impl FnOnce(&[u8]) -> usize) -> bool {
        let mut queues = self.queues.iter_mut();
        let Some(queue) = queues.find(|queue| !queue.waiting.is_empty()) else {
            return false;
        };
        let (first, _) = queue.waiting.as_slices();
        let taken = take(first).min(first.len());
        queue.waiting.drain(..taken);
        self.taken += taken as u64;
        taken > 0
    }

    /// Takes bytes that nobody is there to read.
    pub(super) fn drop_at_once(&mut self, bytes: usize) {
        self.taken += bytes as u64;
    }

    /// How many bytes were sent and are not waiting any more, ever.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Drops what waits of the connections that are not to be kept.
    pub(super) fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        let dropped = self.queues.extract_if(.., |queue| !keep(queue.connection));
        self.taken += dropped.map(|queue| queue.waiting.len() as u64).sum::<u64>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_comes_back_as_the_guest_takes() {
        let mut input = Input::default();
        input.offer(7, &[1; CONSOLE_INPUT]).unwrap();
        assert_eq!(input.offer(7, &[2]), Err(Overdrawn));
        assert!(input.take(|bytes| {
            assert_eq!(bytes[0], 1);
            3
        }));
        assert_eq!(input.taken(), 1 + 3, "one was dropped");
        input.offer(7, &[2; 3]).unwrap();
        assert_eq!(input.offer(7, &[2]), Err(Overdrawn));
    }

    #[test]
    fn a_connection_that_is_gone_leaves_no_input_and_gives_its_credit_back() {
        let mut input = Input::default();
        input.offer(1, &[1; CONSOLE_INPUT]).unwrap();
        input.offer(2, b"b").unwrap();
        input.retain(|connection| connection != 1);
        assert_eq!(input.taken(), CONSOLE_INPUT as u64);
        assert!(input.take(|bytes| {
            assert_eq!(bytes, b"b");
            1
        }));
        assert!(!input.take(|_| unreachable!("nothing waits")));
        assert_eq!(input.taken(), CONSOLE_INPUT as u64 + 1);
    }

    #[test]
    fn a_guest_that_has_no_room_takes_nothing() {
        let mut input = Input::default();
        input.offer(1, b"a").unwrap();
        assert!(!input.take(|_| 0));
        assert_eq!(input.taken(), 0);
    }
}
