//! How a client cuts the image into calls, and what it calls them.
//!
//! **Invariant:** a name follows from its client and its pages alone, so a client that was killed finds its calls again.
use std::collections::VecDeque;

use stagepages_tests::Contents;

use crate::calls::Key;

/// Most pages of one call: 2 MiB of data.
const LONGEST: u64 = 512;

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) first: u64,
    pub(crate) pages: u64,
    pub(crate) key: Key,
}

impl Task {
    pub(crate) fn named(who: &str, first: u64, pages: u64) -> Self {
        Self {
            first,
            pages,
            key: Key::name(format!("{who} {first:x}+{pages:x}")),
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.first + self.pages
    }
}

/// `pages` pages in ascending order, cut at random into calls with names of `who`. There are 64 of them, give or take, well within
/// the window of answers.
pub(crate) fn plan(pages: u64, random: &mut Contents, who: &str) -> VecDeque<Task> {
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
pub(crate) fn numbered(pages: u64, random: &mut Contents) -> VecDeque<Task> {
    let mut plan = plan(pages, random, "");
    for (number, task) in (0..).zip(&mut plan) {
        task.key = Key::Number(number);
    }
    plan
}
