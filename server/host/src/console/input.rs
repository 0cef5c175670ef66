//! What was sent to a guest and is not yet read by it.
//!
//! Each connection has a queue of its own, and credit of its own: it cannot know what another has sent.
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
pub(super) struct Input(Vec<Queue>);

#[derive(Debug, Default)]
struct Queue {
    connection: u64,
    waiting: VecDeque<u8>,
    taken: u64,
}

impl Input {
    /// Queues what a connection sent.
    pub(super) fn offer(&mut self, connection: u64, bytes: &[u8]) -> Result<(), Overdrawn> {
        let queue = self.of(connection);
        if bytes.len() > CONSOLE_INPUT - queue.waiting.len() {
            return Err(Overdrawn);
        }
        queue.waiting.extend(bytes);
        Ok(())
    }

    /// Lends the guest what came first of one connection; `take` says how many of these bytes it took.
    pub(super) fn take(&mut self, take: impl FnOnce(&[u8]) -> usize) -> bool {
        let Some(queue) = self.0.iter_mut().find(|queue| !queue.waiting.is_empty()) else {
            return false;
        };
        let (first, _) = queue.waiting.as_slices();
        let taken = take(first).min(first.len());
        queue.waiting.drain(..taken);
        queue.taken += taken as u64;
        taken > 0
    }

    /// How many bytes of this connection the guest has taken.
    pub(super) fn taken(&self, connection: u64) -> u64 {
        self.0
            .iter()
            .find(|queue| queue.connection == connection)
            .map_or(0, |queue| queue.taken)
    }

    /// The connection is gone, and what it sent with it.
    pub(super) fn forget(&mut self, connection: u64) {
        self.0.retain(|queue| queue.connection != connection);
    }

    fn of(&mut self, connection: u64) -> &mut Queue {
        let at = self
            .0
            .iter()
            .position(|queue| queue.connection == connection)
            .unwrap_or(self.0.len());
        if at == self.0.len() {
            self.0.push(Queue {
                connection,
                ..Queue::default()
            });
        }
        &mut self.0[at]
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
        assert_eq!(input.taken(7), 3);
        input.offer(7, &[2; 3]).unwrap();
        assert_eq!(input.offer(7, &[2]), Err(Overdrawn));
    }

    #[test]
    fn one_connection_does_not_spend_the_credit_of_another() {
        let mut input = Input::default();
        input.offer(1, &[1; CONSOLE_INPUT]).unwrap();
        input.offer(2, b"b").unwrap();
        input.forget(1);
        assert!(input.take(|bytes| {
            assert_eq!(bytes, b"b");
            1
        }));
        assert!(!input.take(|_| unreachable!("nothing waits")));
        assert_eq!((input.taken(1), input.taken(2)), (0, 1));
    }

    #[test]
    fn a_guest_that_has_no_room_takes_nothing() {
        let mut input = Input::default();
        input.offer(1, b"a").unwrap();
        assert!(!input.take(|_| 0));
        assert_eq!(input.taken(1), 0);
    }
}
