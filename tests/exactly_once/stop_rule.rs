//! The stop rule of StagePagesStream: behind the first answer that is not a complete install nothing of that stream is applied.
use stagepages_proto::v1::{LedgerOrder, PageType};
use stagepages_tests::{
    Bench, Contents, Extent, Key, PAGE, ledger, page, page_hashes, refused, snapshot,
};

use super::calls::{assert_complete, extents, sequenced};
use super::on_every_platform;
use super::talk::{Talk, exchange, not_applied};

/// The numbers of all pages in the ledger.
async fn installed(bench: &Bench, name: &str) -> Vec<u64> {
    let runs = ledger(&bench.api, name, LedgerOrder::Gpa, 0).await;
    let pages = page_hashes(&runs);
    pages.keys().map(|gpa| gpa.get() / PAGE).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_short_count_nothing_is_applied_and_the_next_stream_goes_on() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let mut random = Contents::new(1);
        let there = Extent::normal(page(5), random.pages(1));
        bench.api.stage(&launch.name, there).await.unwrap();

        let extents = extents(&mut random, [0, 4, 8, 12, 16, 20]);
        let requests = extents.clone().map(|extent| extent.request(&launch.name));
        let mut answers = exchange(&bench.api, requests).await.into_iter();
        assert_complete(&answers.next().unwrap().unwrap(), 0, 4);
        let short = answers.next().unwrap().unwrap();
        assert_eq!((short.installed_pages, short.next_gpa), (1, page(5).get()));
        assert_eq!(short.stop.unwrap().gpa, page(5).get());
        not_applied(answers.collect(), 4);
        assert_eq!(installed(bench, &launch.name).await, [0, 1, 2, 3, 4, 5]);

        let requests = extents[2..]
            .iter()
            .map(|extent| extent.clone().request(&launch.name));
        let answers = exchange(&bench.api, requests).await;
        for (first, said) in [8, 12, 16, 20].into_iter().zip(answers) {
            assert_complete(&said.unwrap(), first, 4);
        }
        snapshot(&bench.api, &launch.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_refused_request_nothing_is_applied() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let mut random = Contents::new(2);
        let [first, good, bad] = extents(&mut random, [0, 4, 8]);
        let before = exchange(&bench.api, [first.clone().request(&launch.name)]).await;
        assert_complete(before[0].as_ref().unwrap(), 0, 4);
        let picture = snapshot(&bench.api, &launch.name).await;

        let mut unaligned = bad.request(&launch.name);
        unaligned.gpa += 1;
        let outside = Extent::length(page(1023), PageType::Zero, 2 * PAGE).request(&launch.name);
        let early =
            Key::Number(0).request(&launch.name, Extent::length(page(40), PageType::Zero, PAGE));
        for (request, reason) in [
            (unaligned, "INVALID_EXTENT"),
            (outside, "OUTSIDE_MEMORY"),
            (first.request(&launch.name), "ALREADY_INSTALLED"),
            (early, "MALFORMED_REQUEST"),
        ] {
            let behind = (0..6).map(|_| good.clone().request(&launch.name));
            let mut answers = exchange(&bench.api, std::iter::once(request).chain(behind))
                .await
                .into_iter();
            refused(answers.next().unwrap(), reason);
            not_applied(answers.collect(), 6);
            assert_eq!(
                snapshot(&bench.api, &launch.name).await,
                picture,
                "behind {reason}"
            );
        }
        // None of it counts against the launch.
        let answers = exchange(&bench.api, [good.request(&launch.name)]).await;
        assert_complete(answers[0].as_ref().unwrap(), 4, 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_gap_even_the_number_that_is_next_is_not_applied() {
    on_every_platform(async |bench: &Bench| {
        let launch = sequenced(bench, "vm").await;
        let [zero, gap, one] = extents(&mut Contents::new(3), [0, 4, 8]);
        let requests = [(0, zero), (2, gap), (1, one.clone())]
            .map(|(number, extent)| Key::Number(number).request(&launch.name, extent));
        let mut answers = exchange(&bench.api, requests).await.into_iter();
        assert_complete(&answers.next().unwrap().unwrap(), 0, 4);
        let refusal = refused(answers.next().unwrap(), "OUT_OF_SEQUENCE");
        assert_eq!(refusal.number("next_sequence"), 1);
        not_applied(answers.collect(), 1);
        let now = bench.api.get(&launch.name).await.unwrap();
        assert_eq!((now.installed_pages, now.next_sequence), (4, 1));
        let answers = exchange(&bench.api, [Key::Number(1).request(&launch.name, one)]).await;
        assert_complete(answers[0].as_ref().unwrap(), 8, 4);
    })
    .await;
}

/// A repeat is answered as the first time, but behind a stop it is not even looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_of_a_short_count_stops_its_stream_too() {
    on_every_platform(async |bench: &Bench| {
        let launch = sequenced(bench, "vm").await;
        let [zero, across, behind] = extents(&mut Contents::new(4), [4, 2, 8]);
        let zero = Key::Number(0).request(&launch.name, zero);
        let short = Key::Number(1).request(&launch.name, across);
        let behind = Key::Number(2).request(&launch.name, behind);
        for round in 0..2 {
            let mut answers = exchange(
                &bench.api,
                [zero.clone(), short.clone(), behind.clone(), zero.clone()],
            )
            .await
            .into_iter();
            assert_complete(&answers.next().unwrap().unwrap(), 4, 4);
            let answer = answers.next().unwrap().unwrap();
            assert_eq!(answer.installed_pages, 2, "round {round}: {answer:?}");
            not_applied(answers.collect(), 2);
        }
        assert_eq!(bench.api.get(&launch.name).await.unwrap().next_sequence, 2);
    })
    .await;
}

/// What is not yet sent when the stop is answered is not read any more: the stream ends although the client never hung up.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_stream_ends_by_itself() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let [first] = extents(&mut Contents::new(6), [0]);
        let mut talk = Talk::open(&bench.api).await;
        for _ in 0..2 {
            talk.say(first.clone().request(&launch.name));
        }
        assert_complete(&talk.answer().await.unwrap(), 0, 4);
        refused(talk.answer().await, "ALREADY_INSTALLED");
        assert!(talk.rest().await.is_empty(), "nothing else was sent");
    })
    .await;
}
