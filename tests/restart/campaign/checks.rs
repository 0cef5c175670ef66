//! What has to hold of a launch, whatever was killed.
use std::collections::{BTreeMap, HashMap};

use stagepages_proto::v1::{AbortReason, Launch, LaunchState, LedgerOrder, StagePagesResponse};
use stagepages_tests::{
    Bench, Key, PAGE, Refusal, Snapshot, eventually, lease_aside, ledger, page, page_hashes,
    snapshot,
};

use super::PAGES;
use super::load::{Images, Kind, Known, Load};
use super::victim::Victim;

/// A launch that was looked at.
#[derive(Debug)]
pub(super) struct Checked {
    /// Set if it is over.
    pub(super) aborted: Option<Launch>,
    /// Every call that has an answer.
    answers: HashMap<Key, StagePagesResponse>,
    /// Pages, summed over the answers of a complete launch.
    pub(super) counted: u64,
    pub(super) repeats: u64,
    pub(super) clients_killed: u64,
}

/// A launch from outside: equal pictures mean that nothing happened between.
#[derive(Debug, PartialEq)]
pub(super) enum Picture {
    Alive(Snapshot),
    Over(Launch),
}

/// Holds the launch against what its clients know.
pub(super) async fn check(
    bench: &Bench,
    victim: Victim,
    images: &Images,
    load: &Load,
    known: Known,
) -> Checked {
    let now = settled(bench, &load.launch.name).await;
    same_launch(&load.launch, &now);
    let mut checked = Checked {
        aborted: None,
        answers: HashMap::new(),
        counted: 0,
        repeats: 0,
        clients_killed: 0,
    };
    if now.state() == LaunchState::Aborted {
        over(victim, &now, &known);
        checked.aborted = Some(now);
        return checked;
    }
    let mut owners = BTreeMap::new();
    match known {
        Known::Tool(killed, document) => {
            checked.clients_killed = killed;
            // The last one has the counts of those that were killed as its own: they are one session.
            assert_eq!(document["outcome"], "complete", "{document}");
            assert_eq!(document["installed_pages"], PAGES, "{document}");
            assert_eq!(document["identical_pages"], 0, "{document}");
            owners.extend((0..PAGES).map(|page| (page, false)));
            checked.counted = PAGES;
        }
        Known::Books(books) => {
            for (book, other) in books {
                checked.repeats += book.repeats;
                assert!(!book.over, "a client was told that a living launch is over");
                for (key, told) in book.calls {
                    let Some(answer) = kept(bench, &now.name, &key, told).await else {
                        continue;
                    };
                    if checked.answers.insert(key, answer).is_some() {
                        continue; // of two that sent the same call
                    }
                    let first = answer.next_gpa / PAGE - answer.installed_pages;
                    for page in first..first + answer.installed_pages {
                        let twice = owners.insert(page, other);
                        assert_eq!(twice, None, "page {page} was counted twice");
                    }
                    checked.counted += answer.installed_pages;
                }
            }
        }
    }
    assert_eq!(checked.counted, PAGES, "the sum of all counts");
    contents(bench, images, &now, &owners).await;
    if load.kind == Kind::Numbered {
        assert_eq!(
            now.launch_digest, images.one.digest,
            "the digest of an undisturbed run"
        );
    }
    checked
}

/// What the daemon says of a call now: the answer that it gave, if it gave one.
async fn kept(
    bench: &Bench,
    name: &str,
    key: &Key,
    told: Option<StagePagesResponse>,
) -> Option<StagePagesResponse> {
    match (key.result(&bench.api, name).await, told) {
        (Ok(answer), told) => {
            assert_eq!(told.unwrap_or(answer), answer, "{key:?}");
            Some(answer)
        }
        (Err(status), None) => {
            assert_eq!(Refusal::of(&status).reason, "RESULT_NOT_FOUND", "{key:?}");
            None
        }
        (Err(status), Some(told)) => panic!("{key:?} was answered {told:?}, now {status:?}"),
    }
}

/// The ledger and the guest's memory hold, page by page, what the client submitted that counted it.
async fn contents(bench: &Bench, images: &Images, now: &Launch, owners: &BTreeMap<u64, bool>) {
    let image = |other: bool| if other { &images.other } else { &images.one };
    let at = |number: u64| usize::try_from(number).unwrap();
    let runs = ledger(&bench.api, &now.name, LedgerOrder::Gpa, 0).await;
    let installed = page_hashes(&runs);
    let expected = owners
        .iter()
        .map(|(number, other)| (page(*number), Some(image(*other).hashes[at(*number)])));
    assert!(
        installed.into_iter().eq(expected),
        "the ledger of {} holds other pages",
        now.name
    );
    // In a pid namespace the API names the host otherwise than this process knows it.
    let host_pid = u32::try_from(bench.daemon.host(now).as_raw()).unwrap();
    let seen = Launch {
        host_pid,
        ..now.clone()
    };
    let memory = bench.memory_of(&seen, PAGES * PAGE).unwrap();
    for (number, other) in owners {
        let bytes = at(number * PAGE)..at((number + 1) * PAGE);
        assert!(
            memory.read(page(*number), 4096) == image(*other).bytes[bytes],
            "page {number} of {} has other bytes than those that were counted",
            now.name
        );
    }
    let verified = bench.api.verify(&now.name).await.unwrap();
    assert!(verified.consistent, "{verified:?}");
    assert_eq!(
        verified.contents_checked,
        bench.verified(PAGES),
        "{verified:?}"
    );
}

/// The launch once its host has answered the daemon, and is gone if the launch is over.
async fn settled(bench: &Bench, name: &str) -> Launch {
    eventually("a launch whose host has answered", async || {
        let launch = match bench.api.get(name).await {
            Ok(launch) => launch,
            Err(status) => {
                let refusal = Refusal::of(&status);
                assert_eq!(refusal.reason, "HOST_UNREACHABLE", "{refusal:?}");
                return None;
            }
        };
        let over = launch.state() == LaunchState::Aborted;
        (!over || launch.resources_released).then_some(launch)
    })
    .await
}

fn same_launch(created: &Launch, now: &Launch) {
    let identity = |launch: &Launch| {
        (
            launch.name.clone(),
            launch.uid.clone(),
            launch.create_time,
            launch.spec.clone(),
            launch.confidential,
        )
    };
    assert_eq!(identity(created), identity(now));
}

fn over(victim: Victim, now: &Launch, known: &Known) {
    let cause = now.abort.as_ref().unwrap();
    assert_eq!(cause.reason(), AbortReason::HostDied, "{now:?}");
    assert!(now.end_time.is_some() && now.host_pid == 0, "{now:?}");
    if victim == Victim::Host {
        assert_eq!(cause.signal, 9, "{cause:?}");
        if let Known::Books(books) = known {
            let mut told: HashMap<&Key, u64> = HashMap::new();
            for (key, answer) in books.iter().flat_map(|(book, _)| &book.calls) {
                let pages = answer.map_or(0, |answer| answer.installed_pages);
                told.insert(key, pages.max(told.get(key).copied().unwrap_or(0)));
            }
            let told: u64 = told.values().sum();
            assert!(told <= now.installed_pages, "{told} counted: {now:?}");
        }
    }
}

impl Checked {
    pub(super) async fn picture(&self, bench: &Bench, name: &str) -> Picture {
        if self.aborted.is_some() {
            return Picture::Over(settled(bench, name).await);
        }
        settled(bench, name).await;
        Picture::Alive(snapshot(&bench.api, name).await)
    }
}

/// Another daemon says the same of it, and of each of its calls.
pub(super) async fn unchanged(bench: &Bench, load: &Load, found: &Checked, before: &Picture) {
    let name = &load.launch.name;
    assert_eq!(found.picture(bench, name).await, *before);
    for (key, answer) in &found.answers {
        let again = kept(bench, name, key, Some(*answer)).await;
        assert_eq!(again, Some(*answer));
    }
    let finished = bench.api.get(name).await.unwrap();
    if finished.state() == LaunchState::Finished {
        let again = bench.api.finish(name, "").await.unwrap();
        assert_eq!(lease_aside(&again).end_time, finished.end_time);
        assert_eq!(again.launch_digest, finished.launch_digest);
    }
}
