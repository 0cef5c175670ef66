//! What installing an extent spends its time on.
//!
//! The clock is read where one step ends and the next begins, once for each step of a chunk and never for a page: some ten readings of 30 ns for chunks that take
//! tens of microseconds at the least.
//!
//! **Invariant:** allocates nothing, and decides nothing: without it everything happens in the same way.

use std::{
    ops::AddAssign,
    time::{Duration, Instant},
};

/// Time on the wall, by what it went to. What is left of the call's own went to bookkeeping, pauses between attempts, and answering.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Waiting for leave to go on, where firmware is one for the whole machine.
    pub turn: Duration,
    /// Reading contents into the memory that they are installed from, which on `kvm` and `sim` is the guest's.
    pub copy: Duration,
    /// In the kernel and in firmware: all of [`Platform::install`](crate::platform::Platform::install) that the platform does not tell to be anything else.
    pub ioctl: Duration,
    /// Hashing pages for the ledger, handing them over for the launch digest, and holding them against the digests of their image, where the image is read for that too.
    pub hash: Duration,
}

impl Spent {
    /// All of it.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.turn + self.copy + self.ioctl + self.hash
    }

    /// The same in proportion, with this sum: of threads that work at the same time each second of the clock is told once.
    #[must_use]
    pub fn within(&self, wall: Duration) -> Self {
        let sum = self.sum();
        if sum.is_zero() {
            return Self::default();
        }
        let part = |step: Duration| wall.mul_f64(step.as_secs_f64() / sum.as_secs_f64());
        Self {
            turn: part(self.turn),
            copy: part(self.copy),
            ioctl: part(self.ioctl),
            hash: part(self.hash),
        }
    }
}

impl AddAssign for Spent {
    fn add_assign(&mut self, more: Self) {
        self.turn += more.turn;
        self.copy += more.copy;
        self.ioctl += more.ioctl;
        self.hash += more.hash;
    }
}

/// A watch that is read between one step and the next.
#[derive(Debug)]
pub struct Lap(Instant);

impl Lap {
    /// The first step begins.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// A step is over, and the next begins. How long it took.
    pub fn split(&mut self) -> Duration {
        let now = Instant::now();
        now.saturating_duration_since(std::mem::replace(&mut self.0, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_threads_are_told_as_the_clock_saw_them() {
        let second = Duration::from_secs(1);
        let mut both = Spent {
            copy: second,
            ioctl: second,
            ..Spent::default()
        };
        both += Spent {
            ioctl: second,
            hash: second,
            ..Spent::default()
        };
        let told = both.within(2 * second);
        assert_eq!(told.sum(), 2 * second);
        assert_eq!(
            (told.copy, told.ioctl, told.hash),
            (second / 2, second, second / 2)
        );
        assert_eq!(Spent::default().within(second), Spent::default());
    }

    #[test]
    fn laps_follow_each_other_without_a_gap() {
        let mut lap = Lap::start();
        let Lap(began) = lap;
        let sum = lap.split() + lap.split() + lap.split();
        assert_eq!(began + sum, lap.0);
    }
}
