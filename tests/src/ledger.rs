//! The ledger of a launch, read page by page of the listing, and a picture of a launch to compare with later.
//!
//! **Invariant:** a listing that does not end, repeats itself or contradicts its own totals never becomes a result.
use std::collections::BTreeMap;

use stagepages_kvm::Gpa;
use stagepages_proto::v1::{
    InstalledRun, Launch, LaunchSpec, LedgerOrder, ListInstalledPagesRequest, PageType,
};

use crate::api::Api;
use crate::contents::{PAGE, page};
use crate::platform::verified as seen;

/// The whole ledger, with hashes, asking for `page_size` runs at a time.
///
/// # Panics
/// If a listing is refused, or disagrees with itself.
pub async fn ledger(
    api: &Api,
    name: &str,
    order: LedgerOrder,
    page_size: i32,
) -> Vec<InstalledRun> {
    let mut runs: Vec<InstalledRun> = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListInstalledPagesRequest {
            name: name.to_owned(),
            uid: String::new(),
            order: order.into(),
            include_hashes: true,
            page_size,
            page_token: page_token.clone(),
        };
        let answer = api
            .launches
            .clone()
            .list_installed_pages(request)
            .await
            .expect("the ledger is listed")
            .into_inner();
        assert!(
            page_size == 0 || answer.runs.len() <= usize::try_from(page_size).unwrap(),
            "{} runs in one answer",
            answer.runs.len()
        );
        runs.extend(answer.runs);
        if answer.next_page_token.is_empty() {
            let listed: u64 = runs.iter().map(|run| run.pages).sum();
            assert_eq!(
                listed, answer.installed_pages,
                "the runs and the total of one listing"
            );
            return runs;
        }
        assert_ne!(
            answer.next_page_token, page_token,
            "a listing that does not move on"
        );
        page_token = answer.next_page_token;
    }
}

/// The hash of every page that `runs` list, by address.
///
/// # Panics
/// If a run has neither one hash a page, nor the one hash of a uniform run, nor none because its type hides them, or if a page is in two runs.
#[must_use]
pub fn page_hashes(runs: &[InstalledRun]) -> BTreeMap<Gpa, Option<[u8; 32]>> {
    let mut pages = BTreeMap::new();
    for run in runs {
        let hidden = matches!(run.page_type(), PageType::Secrets | PageType::Unmeasured);
        let hashes: Vec<[u8; 32]> = run
            .page_hashes
            .chunks(32)
            .map(|hash| hash.try_into().expect("hashes of 32 bytes"))
            .collect();
        let expected = if hidden {
            0
        } else if run.uniform {
            1
        } else {
            run.pages
        };
        assert_eq!(
            u64::try_from(hashes.len()).unwrap(),
            expected,
            "hashes of {run:?}"
        );
        for index in 0..run.pages {
            let hash = if run.uniform {
                hashes.first()
            } else {
                hashes.get(usize::try_from(index).unwrap())
            };
            let gpa = Gpa::new(run.gpa + index * PAGE);
            assert!(
                pages.insert(gpa, hash.copied()).is_none(),
                "{gpa} is in two runs"
            );
        }
    }
    pages
}

/// What a launch looks like from outside: two equal pictures mean that nothing happened in between.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    launch: Launch,
    runs: Vec<InstalledRun>,
}

/// Takes a picture of a launch that is not aborted, and has it verified.
///
/// # Panics
/// If the launch is not consistent.
pub async fn snapshot(api: &Api, name: &str) -> Snapshot {
    let runs = ledger(api, name, LedgerOrder::Installation, 0).await;
    let mut launch = api.get(name).await.expect("the launch is there");
    // Also a call that is refused touches the launch.
    launch.lease_expire_time = None;
    let verified = api.verify(name).await.expect("the launch can be verified");
    assert!(
        verified.consistent && verified.findings.is_empty() && verified.findings_total == 0,
        "{verified:?}"
    );
    let platform = launch.spec.as_ref().map(LaunchSpec::platform);
    assert_eq!(
        verified.pages_checked,
        seen(platform.expect("is always told"), launch.installed_pages),
        "{verified:?}"
    );
    let mut next = 0;
    for run in &runs {
        assert_eq!(
            run.first_ordinal, next,
            "a gap in the order of installation: {runs:?}"
        );
        assert!(
            run.pages > 0 && run.gpa.is_multiple_of(page(1).get()),
            "{run:?}"
        );
        next += run.pages;
    }
    assert_eq!(
        next, launch.installed_pages,
        "the ledger and the count: {launch:?}"
    );
    Snapshot { launch, runs }
}
