//! The two lists of LaunchService, and how every list is read to its end, page by page.
//!
//! **Invariant:** a daemon that hands out page tokens without end is found out, after a bounded number of calls.

use stagepages_proto::v1;

use super::Client;
use crate::{LaunchRef, StagepagesError};

/// Launches a call. Each may carry 32 labels of 318 bytes, so 1000 would not fit an answer.
const LAUNCHES_A_PAGE: i32 = 100;
/// Calls that one list may take: for the ledger, at 1000 runs and 16384 hashes a call, 16 million runs or 1 TiB of hashed
/// pages.
const MAX_CALLS: usize = 16_384;

/// The launches of the caller's tenant.
#[derive(Clone, Debug, Default)]
pub struct LaunchList {
    /// Those that can be told of, oldest first.
    pub launches: Vec<v1::Launch>,
    /// How many more there may be, in whatever state: they are being created, or their hosts have not answered the daemon since it began.
    pub unsettled: u32,
}

/// The ledger of a launch.
#[derive(Clone, Debug, Default)]
pub struct InstalledPages {
    /// The runs, in the order asked for.
    pub runs: Vec<v1::InstalledRun>,
    /// Distinct pages installed, when the last part of the list was read.
    pub installed_pages: u64,
}

impl Client {
    /// All launches in one of these states, or in any if there are none, oldest first.
    ///
    /// # Errors
    /// None of its own.
    pub async fn list_launches(
        &self,
        states: &[v1::LaunchState],
    ) -> Result<LaunchList, StagepagesError> {
        let states: Vec<i32> = states.iter().copied().map(i32::from).collect();
        let (mut all, mut tokens) = (LaunchList::default(), Tokens::default());
        while let Some(page_token) = tokens.next()? {
            let request = v1::ListLaunchesRequest {
                page_size: LAUNCHES_A_PAGE,
                page_token,
                states: states.clone(),
            };
            let answer = self
                .launches
                .clone()
                .list_launches(self.request(request))
                .await?
                .into_inner();
            all.launches.extend(answer.launches);
            // One that was unsettled at one page may be settled at the next, and be on neither.
            all.unsettled = all.unsettled.max(answer.unsettled_launches);
            tokens.follow(answer.next_page_token);
        }
        Ok(all)
    }

    /// The ledger of a launch, with hashes or without.
    ///
    /// # Errors
    /// LAUNCH_NOT_FOUND, WRONG_STATE (an ABORTED launch has no pages).
    pub async fn list_installed_pages(
        &self,
        launch: &LaunchRef,
        order: v1::LedgerOrder,
        hashes: bool,
    ) -> Result<InstalledPages, StagepagesError> {
        let (mut all, mut tokens) = (InstalledPages::default(), Tokens::default());
        while let Some(page_token) = tokens.next()? {
            let request = v1::ListInstalledPagesRequest {
                name: launch.name().into(),
                uid: launch.uid().into(),
                order: order.into(),
                include_hashes: hashes,
                page_size: 0,
                page_token,
            };
            let answer = self
                .launches
                .clone()
                .list_installed_pages(self.request(request))
                .await?
                .into_inner();
            all.runs.extend(answer.runs);
            all.installed_pages = answer.installed_pages;
            tokens.follow(answer.next_page_token);
        }
        Ok(all)
    }
}

/// The page tokens of one list: the empty one to begin with, then what each answer names, until an answer names none.
#[derive(Debug)]
pub(super) struct Tokens {
    next: Option<String>,
    calls: usize,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            next: Some(String::new()),
            calls: 0,
        }
    }
}

impl Tokens {
    /// The token to ask with; `None` at the end of the list.
    pub(super) fn next(&mut self) -> Result<Option<String>, StagepagesError> {
        if self.next.is_some() && self.calls == MAX_CALLS {
            return Err(StagepagesError::bad_answer(format!(
                "the list has no end after {MAX_CALLS} calls"
            )));
        }
        self.calls += 1;
        Ok(self.next.take())
    }

    pub(super) fn follow(&mut self, token: String) {
        self.next = (!token.is_empty()).then_some(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_begins_without_a_token_and_ends_with_none() {
        let mut tokens = Tokens::default();
        assert_eq!(tokens.next().unwrap(), Some(String::new()));
        tokens.follow("a".into());
        assert_eq!(tokens.next().unwrap(), Some("a".into()));
        tokens.follow(String::new());
        assert_eq!(tokens.next().unwrap(), None);
    }

    #[test]
    fn a_list_without_end_is_an_error() {
        let mut tokens = Tokens::default();
        for _ in 0..MAX_CALLS {
            assert!(tokens.next().unwrap().is_some());
            tokens.follow("again".into());
        }
        tokens.next().unwrap_err();
    }
}
