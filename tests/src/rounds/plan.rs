//! How a client cuts the image into calls, and what it calls them.
//!
//! **Invariant:** a name follows from its client and its pages alone, so a client that was killed finds its calls again.
use std::collections::VecDeque;

use crate::calls::Key;
use crate::contents::Contents;

/// Most pages of one call: 2 MiB of data.
const LONGEST: u64 = 512;

/// One call.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its first page.
    pub first: u64,
    /// How many.
    pub pages: u64,
    /// What it is known by.
    pub key: Key,
}

impl Task {
    /// A call with a name of `who`.
    #[must_use]
    pub fn named(who: &str, first: u64, pages: u64) -> Self {
        Self {
            first,
            pages,
            key: Key::name(format!("{who} {first:x}+{pages:x}")),
        }
    }

    /// The page behind its last.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first + self.pages
    }
}

/// `pages` pages in ascending order, cut at random into calls with names of `who`. There are 64 of them, give or take, well within
/// the window of answers.
pub fn plan(pages: u64, random: &mut Contents, who: &str) -> VecDeque<Task> {
    let mut plan = VecDeque::new();
    let mut first = 0;
    while first < pages {
        let length = (1 + random.below((pages / 32).clamp(1, LONGEST))).min(pages - first);
        plan.push_back(Task::named(who, first, length));
        first += length;
    }
    plan
}

/// The same for a SEQUENCED launch: numbers instead of names.
pub fn numbered(pages: u64, random: &mut Contents) -> VecDeque<Task> {
    let mut plan = plan(pages, random, "");
    for (number, task) in (0..).zip(&mut plan) {
        task.key = Key::Number(number);
    }
    plan
}
