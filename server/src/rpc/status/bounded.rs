//! A list that keeps its first entries and counts the others.
//!
//! **Invariant:** it never holds more than [`MAX_ENTRIES`], and never loses one without saying so.

/// Entries that one list of an error keeps; no caller reads more.
const MAX_ENTRIES: usize = 32;

/// Up to [`MAX_ENTRIES`] entries, and how many were left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bounded<T> {
    kept: Vec<T>,
    dropped: usize,
}

impl<T> Bounded<T> {
    pub(super) fn push(&mut self, entry: T) {
        if self.kept.len() < MAX_ENTRIES {
            self.kept.push(entry);
        } else {
            self.dropped += 1;
        }
    }

    /// Leaves out the last entry; false if there is none.
    pub(super) fn drop_last(&mut self) -> bool {
        let dropped = self.kept.pop().is_some();
        self.dropped += usize::from(dropped);
        dropped
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.kept.iter()
    }

    /// `… and N more` if entries were left out.
    pub(super) fn more(&self) -> Option<String> {
        (self.dropped > 0).then(|| format!("… and {} more", self.dropped))
    }
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            dropped: 0,
        }
    }
}
