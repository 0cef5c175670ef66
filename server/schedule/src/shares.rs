//! What lower classes get while higher ones wait.
//!
//! Between each class and those beneath it there is a level of two phases, whose budgets are spent only while both sides want the firmware:
//!
//! ```text
//!   ├──────── above: (share - 1) quanta ────────┤─ below: 1 ─┤──────── above ────────┤ …
//! ```
//!
//! A phase is over when the time that its side had the turn, with what it was granted and has yet to install, fills its budget. A side that
//! wants nothing gives its time to the other; a higher class that returns finds its own phase.
//!
//! # The bound
//!
//! Let the share be s. **A class that waits beneath k classes gets at least one quantum of every sᵏ.** For k = 0 there is nothing to share. Beneath
//! k classes, the topmost of them spends at most s − 1 quanta before its level turns to the classes beneath, or it wants nothing, which only
//! helps them. So those beneath get at least one quantum of every s, and by induction the class gets at least one of every sᵏ⁻¹ of those: of every sᵏ
//! it has one, and it waits at most sᵏ − 1 quanta for it. With the share of 8, Low beneath High and Normal waits at most 63 quanta.
//!
//! A grant is at least one page and is cut to what is left of the phase by the measured time of a page; a phase therefore exceeds its budget by
//! one page and by what the measure errs. What was granted before the other side came is used up first: one quantum more, once.
//!
//! **Invariant:** a class that wants the firmware alone gets all of it.

use std::time::Duration;

use crate::Class;

/// Which classes want the firmware, by index.
pub(crate) type Wanting = [bool; Class::ALL.len()];

/// The levels: the first between High and the others, the second between Normal and Low.
#[derive(Debug)]
pub(crate) struct Shares {
    levels: [Level; Class::ALL.len() - 1],
    above: Duration,
    below: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    phase: Side,
    spent: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Above,
    Below,
}

impl Shares {
    pub(crate) fn new(quantum: Duration, share: u32) -> Self {
        Self {
            levels: [Level {
                phase: Side::Above,
                spent: Duration::ZERO,
            }; Class::ALL.len() - 1],
            above: quantum.saturating_mul(share.saturating_sub(1)),
            below: quantum,
        }
    }

    /// `class` had the turn for `time`.
    pub(crate) fn charge(&mut self, class: Class, wanting: Wanting, time: Duration) {
        for (index, level) in self.levels.iter_mut().enumerate() {
            if side(class, index) == Some(level.phase) && is_contended(wanting, index) {
                level.spent = level.spent.saturating_add(time);
            }
        }
    }

    /// The class whose turn it is next, where `holder` has the turn and will for `drain` more. `None` if nobody wants it.
    pub(crate) fn choose(
        &mut self,
        wanting: Wanting,
        holder: Option<Class>,
        drain: Duration,
    ) -> Option<Class> {
        for (index, class) in Class::ALL.into_iter().enumerate() {
            let above = wanting[index];
            let Some(level) = self.levels.get(index).copied() else {
                return above.then_some(class);
            };
            if above && is_contended(wanting, index) {
                let held = holder.and_then(|class| side(class, index)) == Some(level.phase);
                let spent = level
                    .spent
                    .saturating_add(if held { drain } else { Duration::ZERO });
                let next = if spent >= self.budget(level.phase) {
                    level.turned()
                } else {
                    level
                };
                self.levels[index] = next;
                match next.phase {
                    Side::Above => return Some(class),
                    Side::Below => {}
                }
            } else if above {
                return Some(class);
            } else if level.phase == Side::Below {
                self.levels[index] = level.turned();
            }
        }
        None
    }

    /// How much of its phases is left to `class`, which has the turn and will for `drain` more. `None` if nobody else wants it.
    pub(crate) fn room(&self, class: Class, wanting: Wanting, drain: Duration) -> Option<Duration> {
        let levels = self.levels.iter().enumerate();
        levels
            .filter(|(index, level)| {
                side(class, *index) == Some(level.phase) && is_contended(wanting, *index)
            })
            .map(|(_, level)| {
                self.budget(level.phase)
                    .saturating_sub(level.spent)
                    .saturating_sub(drain)
            })
            .min()
    }

    /// When `class` will have had `own` of the firmware's time, if the classes want what is in `work`, `own` included, and nobody arrives.
    /// `drained` is what `holder` will have had before that, and is in neither.
    pub(crate) fn finish(
        &self,
        work: [Duration; Class::ALL.len()],
        class: Class,
        own: Duration,
        holder: Option<Class>,
        drained: Duration,
    ) -> Duration {
        let mut elapsed = own;
        for (index, level) in self.levels.iter().enumerate().rev() {
            let Some(own_side) = side(class, index) else {
                continue;
            };
            let beneath = work[index + 1..]
                .iter()
                .fold(Duration::ZERO, |sum, more| sum.saturating_add(*more));
            let held = holder.and_then(|class| side(class, index)) == Some(level.phase);
            let spent = level
                .spent
                .saturating_add(if held { drained } else { Duration::ZERO });
            let left = self.budget(level.phase).saturating_sub(spent);
            let (phase, left) = if left.is_zero() {
                let phase = level.turned().phase;
                (phase, self.budget(phase))
            } else {
                (level.phase, left)
            };
            let (others, other_side) = match own_side {
                Side::Above => (beneath, Side::Below),
                Side::Below => (work[index], Side::Above),
            };
            let (own_budget, other_budget) = (self.budget(own_side), self.budget(other_side));
            let between = if phase == own_side {
                times(
                    other_budget,
                    turns_away(elapsed.saturating_sub(left), own_budget),
                )
            } else {
                let again = turns_away(elapsed.saturating_sub(own_budget), own_budget);
                left.saturating_add(times(other_budget, again))
            };
            elapsed = elapsed.saturating_add(between.min(others));
        }
        elapsed
    }

    fn budget(&self, phase: Side) -> Duration {
        match phase {
            Side::Above => self.above,
            Side::Below => self.below,
        }
    }
}

impl Level {
    /// The other phase, unspent.
    fn turned(self) -> Self {
        let phase = match self.phase {
            Side::Above => Side::Below,
            Side::Below => Side::Above,
        };
        Self {
            phase,
            spent: Duration::ZERO,
        }
    }
}

/// On which side of a level a class is; `None` for one that is above it altogether.
fn side(class: Class, level: usize) -> Option<Side> {
    match class.index().checked_sub(level)? {
        0 => Some(Side::Above),
        _ => Some(Side::Below),
    }
}

/// Whether both sides of a level want the firmware.
fn is_contended(wanting: Wanting, level: usize) -> bool {
    wanting[level] && wanting[level + 1..].contains(&true)
}

/// How many more phases of `budget` it takes to have `time`, and so how often the other side goes before.
fn turns_away(time: Duration, budget: Duration) -> u128 {
    time.as_nanos().div_ceil(budget.as_nanos().max(1))
}

fn times(budget: Duration, turns: u128) -> Duration {
    let nanos = budget.as_nanos().saturating_mul(turns);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
