//! What is known of one launch: how far its ledger is, how far it may go, and what its open calls still want.
//!
//! ```text
//!   ledger   0 ────── origin ───── installed ───── granted ──────▶
//!                       ├─────────── open calls ──────────────┤
//!                                      ├──────── demand ──────┤
//!                                      ├ outstanding ┤
//! ```
//!
//! A host works on one call after the other, so what the ledger gains belongs to the oldest open call; when that one is answered, whatever of
//! it was not installed is forgotten. Should a host mix calls after all, the demand comes out too high until the last is answered, never too low:
//! a grant that is too high does no harm, one that is too low would leave a call hanging.
//!
//! **Invariant:** `installed` and `granted` never fall.

use crate::Class;

/// A launch that joined and did not leave.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) class: Class,
    /// Pages that its ledger is to reach, if somebody said so.
    planned: Option<u64>,
    /// Pages in its ledger.
    installed: u64,
    /// Pages that its ledger may reach.
    granted: u64,
    /// Pages of all calls that are not answered.
    open: u64,
    /// Pages in its ledger when the oldest open call began.
    origin: u64,
    /// When it first asked, as a number that grows.
    pub(crate) arrival: Option<u64>,
    /// Whether it lost the turn for showing no progress, and has shown none since.
    pub(crate) stalled: bool,
}

impl Launch {
    pub(crate) fn new(class: Class, planned: Option<u64>, installed: u64) -> Self {
        Self {
            class,
            planned,
            installed,
            granted: installed,
            open: 0,
            origin: installed,
            arrival: None,
            stalled: false,
        }
    }

    /// A call of `pages` pages has its data.
    pub(crate) fn ask(&mut self, pages: u64) {
        if self.open == 0 {
            self.origin = self.installed;
        }
        self.open = self.open.saturating_add(pages);
    }

    /// Its ledger has `total` pages. Returns how many of them are news.
    pub(crate) fn reach(&mut self, total: u64) -> u64 {
        let news = total.saturating_sub(self.installed);
        self.installed = self.installed.max(total);
        self.stalled &= news == 0;
        news
    }

    /// A call of `pages` pages is over, with `total` pages in the ledger. Returns how many of them are news.
    pub(crate) fn answered(&mut self, pages: u64, total: u64) -> u64 {
        let news = self.reach(total);
        self.open = self.open.saturating_sub(pages);
        self.origin = self.origin.max(total);
        self.stalled = false;
        news
    }

    /// Its ledger may gain `pages` more. Returns how far it may now go.
    pub(crate) fn grant(&mut self, pages: u64) -> u64 {
        self.granted = self.granted.max(self.installed).saturating_add(pages);
        self.granted
    }

    /// Whether some call is not answered.
    pub(crate) fn has_open_call(&self) -> bool {
        self.open > 0
    }

    /// Pages that have their data and are not installed.
    pub(crate) fn demand(&self) -> u64 {
        self.open
            .saturating_sub(self.installed.saturating_sub(self.origin))
    }

    /// Pages that it may install and has the data for.
    pub(crate) fn outstanding(&self) -> u64 {
        self.granted
            .saturating_sub(self.installed)
            .min(self.demand())
    }

    /// Pages that it is expected to install yet.
    pub(crate) fn remaining(&self) -> u64 {
        let planned = self.planned.unwrap_or(0);
        self.demand().max(planned.saturating_sub(self.installed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch() -> Launch {
        Launch::new(Class::Normal, Some(100), 10)
    }

    #[test]
    fn what_a_short_call_did_not_install_leaves_the_demand() {
        let mut launch = launch();
        launch.ask(20);
        launch.ask(5);
        assert_eq!(launch.reach(18), 8);
        assert_eq!(launch.demand(), 17);
        assert_eq!(launch.answered(20, 18), 0);
        assert_eq!(launch.demand(), 5);
    }

    #[test]
    fn a_report_that_overtakes_an_answer_counts_for_the_next_call() {
        let mut launch = launch();
        launch.ask(20);
        launch.ask(5);
        launch.reach(32);
        launch.answered(20, 30);
        assert_eq!(launch.demand(), 3);
    }

    #[test]
    fn an_answer_that_overtakes_its_report_counts_once() {
        let mut launch = launch();
        launch.ask(20);
        launch.ask(5);
        assert_eq!(launch.answered(20, 30), 20);
        assert_eq!(launch.reach(30), 0);
        assert_eq!(launch.demand(), 5);
    }

    #[test]
    fn calls_that_were_mixed_are_overestimated() {
        let mut launch = launch();
        launch.ask(20);
        launch.ask(20);
        launch.reach(30); // ten of each
        launch.answered(20, 30);
        assert_eq!(launch.demand(), 20);
        launch.answered(20, 40);
        assert_eq!(launch.demand(), 0);
    }

    #[test]
    fn a_grant_without_demand_is_not_outstanding() {
        let mut launch = launch();
        launch.ask(20);
        assert_eq!(launch.grant(20), 30);
        assert_eq!(launch.outstanding(), 20);
        launch.answered(20, 12);
        assert_eq!(launch.outstanding(), 0);
        assert_eq!(launch.remaining(), 88);
    }

    #[test]
    fn repeats_and_numbers_out_of_range_change_nothing() {
        let mut launch = launch();
        launch.answered(7, 3);
        assert_eq!(
            (launch.reach(3), launch.demand(), launch.has_open_call()),
            (0, 0, false)
        );
        launch.ask(u64::MAX);
        launch.ask(u64::MAX);
        assert_eq!(launch.demand(), u64::MAX);
        launch.reach(u64::MAX);
        assert_eq!(launch.grant(1), u64::MAX);
    }
}
