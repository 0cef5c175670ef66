//! `sequence`: gaps, repeats, conflicts, the window of answers, and what consumes a number.
use stagepages_proto::v1::{LedgerOrder, PageType};
use stagepages_tests::{
    Bench, Contents, Extent, Key, PAGE, Refusal, ledger, page, refused, snapshot,
};

use super::calls::{assert_complete, sequenced};
use super::on_every_platform;

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_refused_and_names_the_next_number() {
    on_every_platform(async |bench: &Bench| {
        let launch = sequenced(bench, "vm").await;
        let data = Contents::new(21).pages(2);
        for early in [1, 2, u64::MAX] {
            let request =
                Key::Number(early).request(&launch.name, Extent::normal(page(0), data.clone()));
            let refusal = refused(bench.api.stage_request(request).await, "OUT_OF_SEQUENCE");
            refusal.installed(0).state("CREATED");
            assert_eq!(refusal.number("next_sequence"), 0);
        }
        let request = Key::Number(0).request(&launch.name, Extent::normal(page(0), data));
        assert_complete(&bench.api.stage_request(request).await.unwrap(), 0, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_returns_the_first_answer_and_installs_nothing() {
    on_every_platform(async |bench: &Bench| {
        let launch = sequenced(bench, "vm").await;
        let mut random = Contents::new(22);
        // Number 1 runs into number 0: its answer is short, and stays so.
        let calls = [(4, 4), (2, 6), (8, 3)];
        let requests: Vec<_> = (0..)
            .zip(calls)
            .map(|(number, (first, pages))| {
                let extent = Extent::normal(page(first), random.pages(pages));
                Key::Number(number).request(&launch.name, extent)
            })
            .collect();
        let mut first_answers = Vec::new();
        for request in &requests {
            first_answers.push(bench.api.stage_request(request.clone()).await.unwrap());
        }
        assert_eq!(first_answers[1].installed_pages, 2);
        assert!(first_answers[1].stop.is_some());
        let picture = snapshot(&bench.api, &launch.name).await;
        for _ in 0..2 {
            for (number, (request, first)) in (0..).zip(requests.iter().zip(&first_answers)) {
                let again = bench.api.stage_request(request.clone()).await.unwrap();
                assert_eq!(again, *first, "number {number}");
                let told = Key::Number(number).result(&bench.api, &launch.name).await;
                assert_eq!(told.unwrap(), *first, "number {number}");
            }
        }
        assert_eq!(snapshot(&bench.api, &launch.name).await, picture);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_with_other_content_is_a_conflict() {
    on_every_platform(async |bench: &Bench| {
        let launch = sequenced(bench, "vm").await;
        let mut random = Contents::new(23);
        let there = random.pages(2);
        let data = random.pages(4);
        let zero = Extent::normal(page(4), there);
        let short = Extent::normal(page(2), data.clone());
        for (number, extent) in (0..).zip([zero, short]) {
            let request = Key::Number(number).request(&launch.name, extent);
            bench.api.stage_request(request).await.unwrap();
        }
        let picture = snapshot(&bench.api, &launch.name).await;

        let other = |index: usize| {
            let mut bytes = data.to_vec();
            bytes[index] ^= 1;
            Extent::normal(page(2), bytes)
        };
        let conflicts = [
            ("a byte that was installed", other(0)),
            ("the last byte that was installed", other(2 * 4096 - 1)),
            ("a byte behind the stop", other(4 * 4096 - 1)),
            ("another address", Extent::normal(page(12), data.clone())),
            ("fewer pages", Extent::normal(page(2), data.slice(..4096))),
            ("more pages", Extent::normal(page(2), random.pages(5))),
            (
                "another type",
                Extent::data(page(2), PageType::Unmeasured, data.clone()),
            ),
            (
                "no contents",
                Extent::length(page(2), PageType::Normal, 4 * PAGE),
            ),
        ];
        for (what, extent) in conflicts {
            let request = Key::Number(1).request(&launch.name, extent);
            let refusal = refused(bench.api.stage_request(request).await, "SEQUENCE_CONFLICT");
            refusal.installed(0).at(page(2));
            assert_eq!(
                snapshot(&bench.api, &launch.name).await,
                picture,
                "after {what}"
            );
        }
        // And the call itself is as it was.
        let request = Key::Number(1).request(&launch.name, Extent::normal(page(2), data));
        let again = bench.api.stage_request(request).await.unwrap();
        assert_eq!(again.installed_pages, 2);
    })
    .await;
}

/// Of pages whose contents are nobody's business a repeat must be no oracle: other bytes are answered like the same.
#[tokio::test(flavor = "multi_thread")]
async fn of_unmeasured_pages_only_place_type_and_length_are_content() {
    on_every_platform(async |bench: &Bench| {
        let launch = sequenced(bench, "vm").await;
        let mut random = Contents::new(24);
        let mut request = |pages: u64| {
            let extent = Extent::data(page(0), PageType::Unmeasured, random.pages(pages));
            Key::Number(0).request(&launch.name, extent)
        };
        let first = bench.api.stage_request(request(2)).await.unwrap();
        let again = bench.api.stage_request(request(2)).await.unwrap();
        assert_eq!(again, first);
        let other = bench.api.stage_request(request(3)).await;
        refused(other, "SEQUENCE_CONFLICT");
        assert_eq!(
            bench.api.get(&launch.name).await.unwrap().installed_pages,
            2
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_window_of_answers_is_as_long_as_advertised() {
    on_every_platform(async |bench: &Bench| {
        let launch = sequenced(bench, "vm").await;
        let window = u64::from(bench.api.node_info().await.limits.unwrap().replay_window);
        let extent = |number| Extent::length(page(number), PageType::Zero, PAGE);
        let request = |number| Key::Number(number).request(&launch.name, extent(number));
        for number in 0..window + 2 {
            bench.api.stage_request(request(number)).await.unwrap();
        }
        let picture = snapshot(&bench.api, &launch.name).await;
        for number in 0..window + 2 {
            let again = bench.api.stage_request(request(number)).await;
            let told = Key::Number(number).result(&bench.api, &launch.name).await;
            if number < 2 {
                let refusal = refused(again, "OUT_OF_SEQUENCE");
                assert_eq!(refusal.installed(0).number("next_sequence"), window + 2);
                let refusal = refused(told, "RESULT_NOT_FOUND");
                assert_eq!(refusal.number("next_sequence"), window + 2);
            } else {
                assert_complete(&again.unwrap(), number, 1);
                assert_complete(&told.unwrap(), number, 1);
            }
        }
        assert_eq!(snapshot(&bench.api, &launch.name).await, picture);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_belongs_to_a_sequenced_launch_and_to_no_other() {
    on_every_platform(async |bench: &Bench| {
        let (unordered, ordered) = (
            bench.launch("any").await,
            sequenced(bench, "in-order").await,
        );
        let extent = || Extent::length(page(0), PageType::Zero, PAGE);
        let with = Key::Number(0).request(&unordered.name, extent());
        refused(bench.api.stage_request(with).await, "MALFORMED_REQUEST").blames("sequence");
        let without = extent().request(&ordered.name);
        refused(bench.api.stage_request(without).await, "MALFORMED_REQUEST").blames("sequence");
        let named = Key::name("a").request(&ordered.name, extent());
        refused(bench.api.stage_request(named).await, "MALFORMED_REQUEST").blames("sequence");
        for launch in [unordered, ordered] {
            assert_eq!(
                bench.api.get(&launch.name).await.unwrap().installed_pages,
                0
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_consumes_no_number() {
    on_every_platform(async |bench: &Bench| {
        let launch = sequenced(bench, "vm").await;
        let mut random = Contents::new(25);
        let request = |number, extent| Key::Number(number).request(&launch.name, extent);
        let zero = request(0, Extent::normal(page(0), random.pages(2)));
        bench.api.stage_request(zero).await.unwrap();
        let picture = snapshot(&bench.api, &launch.name).await;

        let mut unaligned = request(1, Extent::normal(page(4), random.pages(1)));
        unaligned.gpa += 8;
        let refusals = [
            (unaligned, "INVALID_EXTENT"),
            (
                request(1, Extent::normal(page(1023), random.pages(2))),
                "OUTSIDE_MEMORY",
            ),
            (
                request(1, Extent::normal(page(1), random.pages(2))),
                "ALREADY_INSTALLED",
            ),
            (
                request(1, Extent::length(page(4), PageType::Unspecified, PAGE)),
                "MALFORMED_REQUEST",
            ),
            (
                request(1, Extent::length(page(4), PageType::Cpuid, PAGE)),
                "INVALID_EXTENT",
            ),
        ];
        for (request, reason) in refusals {
            refused(bench.api.stage_request(request).await, reason);
            let told = Key::Number(1).result(&bench.api, &launch.name).await;
            let refusal = refused(told, "RESULT_NOT_FOUND");
            assert_eq!(refusal.number("next_sequence"), 1, "after {reason}");
            assert_eq!(snapshot(&bench.api, &launch.name).await, picture);
        }
        let one = request(1, Extent::normal(page(4), random.pages(1)));
        assert_complete(&bench.api.stage_request(one).await.unwrap(), 4, 1);
        assert_eq!(bench.api.get(&launch.name).await.unwrap().next_sequence, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_has_the_order_of_the_numbers_not_that_of_arrival() {
    on_every_platform(async |bench: &Bench| {
        let launch = sequenced(bench, "vm").await;
        // Four clients, each sending its call again until its turn has come.
        let mut racing = tokio::task::JoinSet::new();
        for number in 0..40_u64 {
            let extent = Extent::length(page(40 - number), PageType::Zero, PAGE);
            let request = Key::Number(number).request(&launch.name, extent);
            let api = bench.api.clone();
            racing.spawn(async move {
                for _ in 0..100_000 {
                    match api.stage_request(request.clone()).await {
                        Ok(answer) => return answer.installed_pages,
                        Err(status) => {
                            let refusal = Refusal::of(&status);
                            if refusal.reason != "QUEUE_FULL" {
                                refused::<()>(Err(status), "OUT_OF_SEQUENCE");
                            }
                        }
                    }
                }
                panic!("number {number} never had its turn");
            });
        }
        assert_eq!(racing.join_all().await, [1; 40]);
        let runs = ledger(&bench.api, &launch.name, LedgerOrder::Installation, 0).await;
        let order: Vec<_> = runs.iter().map(|run| run.gpa / PAGE).collect();
        assert_eq!(order, (1..=40).rev().collect::<Vec<_>>());
    })
    .await;
}
