//! One racing client: stages random extents with bytes that are its own, and keeps account of what was counted for it.
//!
//! **Invariant:** no page of two clients, or of two calls, ever has the same bytes; so identical pages are never met by chance.
use bytes::Bytes;
use stagepages_kvm::Gpa;
use stagepages_proto::v1::{PageType, StageStop};
use stagepages_tests::{Api, Contents, Extent, PAGE, Refusal, page};

use super::tally::Tally;

/// Extents that a client stages in one round.
const EXTENTS: u64 = 3;
/// Pages of the longest.
const LONGEST: u64 = 24;

#[derive(Debug)]
pub(crate) struct Client {
    api: Api,
    random: Contents,
    account: Account,
}

/// What one client says of one launch.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) tally: Tally,
    /// The pages that were counted for it, with the bytes that it sent.
    pub(crate) pages: Vec<(Gpa, Bytes)>,
}

impl Client {
    pub(crate) fn new(number: u64, api: Api) -> Self {
        Self {
            api,
            random: Contents::new(0xace0 + number),
            account: Account::default(),
        }
    }

    /// Stages a few extents into the window of `pages` pages from page `first` of launch `name`.
    pub(crate) async fn round(&mut self, name: &str, first: u64, pages: u64) {
        for _ in 0..EXTENTS {
            let offset = self.random.below(pages);
            let length = 1 + self.random.below(LONGEST.min(pages - offset));
            self.stage(name, first + offset, length).await;
        }
    }

    /// Gives the account of one launch away, and starts another.
    pub(crate) fn account(&mut self) -> Account {
        std::mem::take(&mut self.account)
    }

    async fn stage(&mut self, name: &str, first: u64, pages: u64) {
        let data = self.random.pages(pages);
        let page_type = if self.random.below(4) == 0 {
            PageType::Unmeasured
        } else {
            PageType::Normal
        };
        let answer = self
            .api
            .stage(name, Extent::data(page(first), page_type, data.clone()))
            .await;
        self.account.tally.calls += 1;
        let installed = match answer {
            Ok(answer) => {
                assert!(
                    0 < answer.installed_pages && answer.installed_pages <= pages,
                    "{answer:?} for {pages} pages"
                );
                assert_eq!(answer.next_gpa, page(first + answer.installed_pages).get());
                assert_eq!(
                    answer.stop.is_some(),
                    answer.installed_pages < pages,
                    "{answer:?} for {pages} pages"
                );
                if let Some(stop) = answer.stop {
                    self.account.tally.short += 1;
                    assert_eq!(stop.gpa, answer.next_gpa);
                    check_identical(&stop, page_type);
                }
                answer.installed_pages
            }
            Err(status) => {
                let refusal = Refusal::of(&status);
                assert_eq!(refusal.reason, "ALREADY_INSTALLED", "{refusal:?}");
                refusal.at(page(first)).installed(0);
                self.account.tally.refused += 1;
                0
            }
        };
        self.account.tally.installed += installed;
        let counted = usize::try_from(installed * PAGE).unwrap();
        let claimed = data[..counted].chunks(4096).enumerate();
        self.account.pages.extend(claimed.map(|(index, bytes)| {
            (
                page(first + u64::try_from(index).unwrap()),
                data.slice_ref(bytes),
            )
        }));
    }
}

/// Bytes are never equal here; of UNMEASURED pages only the type is compared.
fn check_identical(stop: &StageStop, page_type: PageType) {
    let types_agree = page_type == PageType::Unmeasured && stop.page_type() == PageType::Unmeasured;
    assert_eq!(
        stop.identical, types_agree,
        "{stop:?} against {page_type:?}"
    );
    assert_eq!(
        stop.identical_pages > 0,
        types_agree,
        "{stop:?} against {page_type:?}"
    );
}
