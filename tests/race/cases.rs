//! Eight clients race for overlapping extents: every page goes to exactly one, and holds the bytes of the one that counted it.
//!
//! In a round, all clients stage random extents into one small window of a launch at the same time. A launch has as many windows as
//! it takes rounds; when they are used up it is held against the clients' own accounts, page by page, and another takes its place.
//!
//! `STAGEPAGES_ROUNDS` sets the rounds on each platform; 2000 is the full measure.
//!
//! **Invariant:** a client claims only what an answer counted for it, so a count that is wrong by one page does not add up.
mod client;
mod tally;

use std::sync::Arc;

use stagepages_proto::v1::{LedgerOrder, Platform};
use stagepages_tests::{Api, Bench, PAGE, ledger, page, region, say, snapshot, spec};
use tokio::sync::Barrier;

use client::Client;
use tally::Tally;

const CLIENTS: u64 = 8;
/// Pages for which the clients of one round race.
const WINDOW: u64 = 48;
/// Rounds that one launch takes.
const ROUNDS_PER_LAUNCH: u64 = 20;
/// Pages that a host installs in one go: few, so that extents are cut and those of several clients can mix.
const CHUNK: &str = "chunk_pages = 4";

/// Rounds on each platform: enough to meet every kind of overlap, or what the caller asks for.
fn rounds() -> u64 {
    std::env::var("STAGEPAGES_ROUNDS").map_or(60, |rounds| {
        rounds.parse().expect("STAGEPAGES_ROUNDS is a number")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_goes_to_the_one_that_counted_it() {
    let subjects = super::subjects().with_config(CHUNK);
    subjects
        .run(async |bench: &Bench| {
            let mut clients = Vec::new();
            for number in 0..CLIENTS {
                // Over either socket, each on a connection of its own.
                let api = match number % 2 {
                    0 => Api::unix(bench.daemon.socket()).await,
                    _ => Api::tcp(&bench.daemon).await,
                };
                clients.push(Client::new(number, api));
            }
            let mut total = Tally::default();
            let rounds = rounds();
            let mut done = 0;
            while done < rounds {
                let windows = ROUNDS_PER_LAUNCH.min(rounds - done);
                let tally;
                (clients, tally) = one_launch(bench, clients, windows).await;
                total += tally;
                done += windows;
            }
            report(bench.platform, rounds, total);
        })
        .await;
}

/// Races through every window of a new launch, holds it against the clients' claims, and ends it.
async fn one_launch(bench: &Bench, clients: Vec<Client>, windows: u64) -> (Vec<Client>, Tally) {
    let bytes = windows * WINDOW * PAGE;
    let launch = bench
        .api
        .create("", spec(bench.platform, [region(page(0), bytes)]))
        .await
        .unwrap();
    let start = Arc::new(Barrier::new(clients.len()));
    let mut racing = tokio::task::JoinSet::new();
    for mut client in clients {
        let (name, start) = (launch.name.clone(), Arc::clone(&start));
        racing.spawn(async move {
            for window in 0..windows {
                start.wait().await;
                client.round(&name, window * WINDOW, WINDOW).await;
            }
            client
        });
    }
    let mut clients = racing.join_all().await;

    let mut claims = std::collections::BTreeMap::new();
    let mut tally = Tally {
        launches: 1,
        ..Tally::default()
    };
    for client in &mut clients {
        let claimed = client.account();
        tally += claimed.tally;
        for (gpa, bytes) in claimed.pages {
            assert!(
                claims.insert(gpa, bytes).is_none(),
                "two clients counted the page at {gpa}"
            );
        }
    }
    let now = bench.api.get(&launch.name).await.unwrap();
    assert_eq!(
        tally.installed, now.installed_pages,
        "the sum of all counts, and the distinct pages"
    );
    snapshot(&bench.api, &launch.name).await;
    let listed = ledger(&bench.api, &launch.name, LedgerOrder::Gpa, 0).await;
    let listed = listed
        .iter()
        .flat_map(|run| (0..run.pages).map(|index| page(run.gpa / PAGE + index)));
    assert!(
        listed.eq(claims.keys().copied()),
        "the ledger holds other pages than were counted"
    );
    let memory = bench.memory_of(&launch, bytes);
    for (gpa, bytes) in claims {
        assert!(
            (memory.as_ref()).is_none_or(|memory| memory.read(gpa, bytes.len()) == bytes),
            "the page at {gpa} holds other bytes than those of the client that counted it"
        );
    }
    bench.api.abort(&launch.name).await.unwrap();
    bench.api.delete(&launch.name).await.unwrap();
    (clients, tally)
}

/// One line on each platform: this is the evidence.
fn report(platform: Platform, rounds: u64, total: Tally) {
    say(&format!(
        "race on {}: {CLIENTS} clients, {rounds} rounds; {total}",
        platform.as_str_name()
    ));
}
