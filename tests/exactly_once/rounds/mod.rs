//! Rounds: an image is staged through a connection that is cut off at random bytes, by clients that are killed, and is there at the end, once.
//!
//! ```text
//!   two clients of the bare API, or `stagectl launch stage` ──▶ Proxy ──▶ stagepagesd
//!        forget everything              killed -9              refuses, delays, cuts in the middle of a frame
//! ```
//!
//! In a SEQUENCED launch two clients send the same calls at the same time; in an UNORDERED one they stage the same image, cut differently, from
//! both ends. Then the ledger is held against the image, and the counts, read back call by call, against the ledger.
//!
//! **Invariant:** what a round does is drawn from its number; what it asserts holds however it interleaves.
mod tally;

use std::collections::HashMap;
use std::sync::Arc;

use stagepages_proto::v1::{OrderingMode, StagePagesResponse};
use stagepages_tests::{
    Bench, Book, Client, Contents, Faults, Image, Key, PAGE, Proxy, Refusal, World, numbered, plan,
    say, stagectl_stage,
};

use super::{ROUNDS, on_every_platform};
use tally::Tally;

const MODES: [OrderingMode; 2] = [OrderingMode::Sequenced, OrderingMode::Unordered];
/// Faults of one proxy.
const FAULTS: u64 = 8;
/// How often `stagectl` is killed in one round, at most.
const KILLS: u64 = 3;

/// Rounds of each kind: enough to meet every fault on what the suite runs on in all, or what the caller asks for.
pub(crate) fn rounds() -> u64 {
    std::env::var("STAGEPAGES_ROUNDS").map_or(ROUNDS, |rounds| {
        rounds.parse().expect("STAGEPAGES_ROUNDS is a number")
    })
}

/// Pages of the image: enough to be cut off many times, or what the caller asks for.
fn image_pages() -> u64 {
    let mib = std::env::var("STAGEPAGES_IMAGE_MIB").map_or(4, |mib| {
        mib.parse().expect("STAGEPAGES_IMAGE_MIB is a number")
    });
    (mib << 20) / PAGE
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_are_cut_off_stage_the_image_once() {
    on_every_platform(async |bench: &Bench| {
        let image = Arc::new(Image::new(bench, image_pages()).await);
        for mode in MODES {
            let mut tally = Tally::default();
            for round in 0..rounds() {
                println!("{mode:?}, round {round}");
                clients_round(bench, &image, mode, round, &mut tally).await;
            }
            report(bench, "clients cut off", mode, tally);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stagectl_that_is_killed_goes_on_where_it_was() {
    on_every_platform(async |bench: &Bench| {
        let image = Image::new(bench, image_pages()).await;
        let file = bench.daemon.dir().join("image");
        std::fs::write(&file, &image.bytes).unwrap();
        for mode in MODES {
            let mut tally = Tally::default();
            for round in 0..rounds() {
                println!("{mode:?}, round {round}");
                let name = image.launch(bench, mode).await;
                let proxy = proxy(bench, &image, "stagectl", round);
                let mut random = Contents::new(round);
                let (kills, document) =
                    stagectl_stage(&proxy, &name, &file, KILLS, &mut random).await;
                // The last one has the counts of those that were killed as its own: they are one session.
                assert_eq!(document["outcome"], "complete", "{document}");
                assert_eq!(document["installed_pages"], image.pages, "{document}");
                assert_eq!(document["identical_pages"], 0, "{document}");
                image.end(bench, &name, mode).await;
                tally.rounds += 1;
                tally.kills += kills;
                tally.counted += image.pages;
                tally.proxied(proxy.given());
            }
            report(bench, "stagectl killed", mode, tally);
        }
    })
    .await;
}

fn proxy(bench: &Bench, image: &Image, who: &str, round: u64) -> Proxy {
    let faults = Faults {
        count: FAULTS,
        request_bytes: image.pages * PAGE / 2,
        seed: round ^ u64::from_le_bytes(who.as_bytes()[..4].repeat(2).try_into().unwrap()),
    };
    let socket = bench.daemon.dir().join(who);
    Proxy::start(socket, bench.daemon.socket(), faults)
}

async fn clients_round(
    bench: &Bench,
    image: &Arc<Image>,
    mode: OrderingMode,
    round: u64,
    tally: &mut Tally,
) {
    let launch = image.launch(bench, mode).await;
    let mut racing = tokio::task::JoinSet::new();
    let mut proxies = Vec::new();
    for (number, who) in (0..).zip(["upward", "downward"]) {
        let proxy = proxy(bench, image, who, round);
        let plan = if mode == OrderingMode::Sequenced {
            numbered(image.pages, &mut Contents::new(round))
        } else {
            let mut plan = plan(image.pages, &mut Contents::new(round + number), who);
            if number == 1 {
                plan.make_contiguous().reverse();
            }
            plan
        };
        let client = Client {
            who,
            socket: proxy.socket().to_owned(),
            launch: launch.clone(),
            image: Arc::clone(image),
            plan,
            random: Contents::new(0xc0de + 2 * round + number),
            book: Book::default(),
            world: World::default(),
        };
        proxies.push(proxy);
        racing.spawn(client.run());
    }
    let mut calls: HashMap<Key, Option<StagePagesResponse>> = HashMap::new();
    for book in racing.join_all().await {
        *tally.repeats.get_or_insert(0) += book.repeats;
        tally.kills += book.killed;
        for (key, answer) in book.calls {
            let known = calls.entry(key.clone()).or_default();
            // Two that sent the same call were told the same.
            let same = known.is_none() || answer.is_none() || *known == answer;
            assert!(same, "{key:?}: {known:?} and {answer:?}");
            *known = known.or(answer);
        }
    }
    let mut counted = 0;
    for (key, known) in calls {
        match (key.result(&bench.api, &launch).await, known) {
            (Ok(answer), known) => {
                assert_eq!(known.unwrap_or(answer), answer, "{key:?}");
                counted += answer.installed_pages;
            }
            (Err(status), None) => {
                assert_eq!(Refusal::of(&status).reason, "RESULT_NOT_FOUND", "{key:?}");
            }
            (Err(status), Some(known)) => panic!("{key:?} was answered {known:?}, now {status:?}"),
        }
    }
    assert_eq!(counted, image.pages, "the sum of all counts");
    image.end(bench, &launch, mode).await;
    tally.rounds += 1;
    tally.counted += counted;
    for proxy in proxies {
        tally.proxied(proxy.given());
    }
}

fn report(bench: &Bench, what: &str, mode: OrderingMode, tally: Tally) {
    say(&format!(
        "exactly once, {what}, {} {}: {tally}",
        bench.platform.as_str_name(),
        mode.as_str_name()
    ));
}
