//! `request_id`: repeats, reuse, and names that belong to one launch.
use stagepages_proto::v1::PageType;
use stagepages_tests::{
    Bench, Contents, Extent, Key, PAGE, Refusal, Slow, page, refused, snapshot,
};

use super::calls::{assert_complete, sequenced};
use super::on_every_platform;

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_waits_for_the_first_and_has_its_answer() {
    on_every_platform(async |bench: &Bench| {
        let slow = Slow::launch(bench, "vm").await;
        let request = Key::name("once").request(&slow.launch.name, slow.extent());
        let spawn = || {
            let (api, request) = (bench.api.clone(), request.clone());
            tokio::spawn(async move { api.stage_request(request).await })
        };
        let first = spawn();
        slow.underway(bench).await;
        let repeats = [spawn(), spawn(), spawn()];
        let first = first.await.unwrap().unwrap();
        assert_complete(&first, 0, slow.pages);
        for repeat in repeats {
            assert_eq!(repeat.await.unwrap().unwrap(), first);
        }
        let now = bench.api.get(&slow.launch.name).await.unwrap();
        assert_eq!(now.installed_pages, slow.pages);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reuse_with_other_content_is_refused() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let mut random = Contents::new(31);
        let data = random.pages(3);
        let id = Key::name("once");
        let request = |extent| id.request(&launch.name, extent);
        let first = request(Extent::normal(page(0), data.clone()));
        let answer = bench.api.stage_request(first.clone()).await.unwrap();
        let picture = snapshot(&bench.api, &launch.name).await;
        for extent in [
            Extent::normal(page(0), random.pages(3)),
            Extent::normal(page(8), data.clone()),
            Extent::normal(page(0), data.slice(..4096)),
            Extent::data(page(0), PageType::Unmeasured, data),
            Extent::length(page(0), PageType::Zero, 3 * PAGE),
        ] {
            let refusal = refused(
                bench.api.stage_request(request(extent)).await,
                "REQUEST_ID_REUSED",
            );
            refusal.installed(0).state("STAGING");
            assert!(refusal.message.contains("once"), "{refusal:?}");
        }
        assert_eq!(bench.api.stage_request(first).await.unwrap(), answer);
        assert_eq!(snapshot(&bench.api, &launch.name).await, picture);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_belongs_to_one_launch() {
    on_every_platform(async |bench: &Bench| {
        let mut random = Contents::new(32);
        for number in 0..3 {
            let launch = bench.launch(&format!("vm-{number}")).await;
            let extent = Extent::normal(page(number), random.pages(1 + number));
            let request = Key::name("once").request(&launch.name, extent);
            let answer = bench.api.stage_request(request).await.unwrap();
            assert_complete(&answer, number, 1 + number);
        }
        let told = Key::name("once").result(&bench.api, "launches/vm-1").await;
        assert_complete(&told.unwrap(), 1, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_has_at_most_64_bytes() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let longest = Key::name("é".repeat(32));
        let extent = || Extent::length(page(0), PageType::Zero, PAGE);
        let too_long = Key::name(format!("{}x", "é".repeat(32)));
        let request = too_long.request(&launch.name, extent());
        refused(bench.api.stage_request(request).await, "MALFORMED_REQUEST").blames("request_id");
        let told = too_long.result(&bench.api, &launch.name).await;
        refused(told, "MALFORMED_REQUEST").blames("request_id");
        let request = longest.request(&launch.name, extent());
        assert_complete(&bench.api.stage_request(request).await.unwrap(), 0, 1);
        let told = longest.result(&bench.api, &launch.name).await;
        assert_complete(&told.unwrap(), 0, 1);
    })
    .await;
}

/// A name is any text: what is in it reaches no log line and no message unescaped.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_control_characters_stays_out_of_messages() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let id = Key::name("a\u{1b}[31m\n\u{0}\"b");
        let request = |first| {
            id.request(
                &launch.name,
                Extent::length(page(first), PageType::Zero, PAGE),
            )
        };
        bench.api.stage_request(request(0)).await.unwrap();
        // `refused` looks for control characters in every message.
        refused(
            bench.api.stage_request(request(1)).await,
            "REQUEST_ID_REUSED",
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_leaves_its_name_free() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let mut random = Contents::new(33);
        let id = Key::name("once");
        bench
            .api
            .stage(&launch.name, Extent::normal(page(0), random.pages(1)))
            .await
            .unwrap();
        let request = id.request(&launch.name, Extent::normal(page(0), random.pages(2)));
        refused(bench.api.stage_request(request).await, "ALREADY_INSTALLED");
        refused(
            id.result(&bench.api, &launch.name).await,
            "RESULT_NOT_FOUND",
        );
        let request = id.request(&launch.name, Extent::normal(page(1), random.pages(2)));
        assert_complete(&bench.api.stage_request(request).await.unwrap(), 1, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_names_are_forgotten_and_judged_anew() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let window = u64::from(bench.api.node_info().await.limits.unwrap().replay_window);
        let request = |number| {
            let extent = Extent::length(page(number), PageType::Zero, PAGE);
            Key::name(format!("call {number}")).request(&launch.name, extent)
        };
        for number in 0..=window {
            bench.api.stage_request(request(number)).await.unwrap();
        }
        let forgotten = refused(
            bench.api.stage_request(request(0)).await,
            "ALREADY_INSTALLED",
        );
        assert_eq!(forgotten.installed(0).meta("identical"), "true");
        for number in 1..=window {
            let again = bench.api.stage_request(request(number)).await.unwrap();
            assert_complete(&again, number, 1);
        }
        let now = bench.api.get(&launch.name).await.unwrap();
        assert_eq!(now.installed_pages, window + 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_have_the_first_answer_after_the_end_of_the_launch_too() {
    on_every_platform(async |bench: &Bench| {
        let unordered = bench.launch("any").await;
        let ordered = sequenced(bench, "in-order").await;
        let mut random = Contents::new(34);
        for (launch, keys) in [
            (unordered, [Key::name("a"), Key::name("b")]),
            (ordered, [Key::Number(0), Key::Number(1)]),
        ] {
            let data = random.pages(4);
            let whole = keys[0].request(&launch.name, Extent::normal(page(2), data.clone()));
            let short = keys[1].request(&launch.name, Extent::normal(page(0), data.clone()));
            let other = keys[1].request(&launch.name, Extent::normal(page(8), data));
            let requests = [whole, short];
            let mut first_answers = Vec::new();
            for request in &requests {
                first_answers.push(bench.api.stage_request(request.clone()).await.unwrap());
            }
            for ended in ["finished", "aborted"] {
                match ended {
                    "finished" => bench.api.finish(&launch.name, "").await.unwrap(),
                    _ => bench.api.abort(&launch.name).await.unwrap(),
                };
                for ((key, request), first) in keys.iter().zip(&requests).zip(&first_answers) {
                    let again = bench.api.stage_request(request.clone()).await;
                    assert_eq!(again.unwrap(), *first, "{ended}");
                    let told = key.result(&bench.api, &launch.name).await;
                    assert_eq!(told.unwrap(), *first, "{ended}");
                }
                // Neither a new call nor a false repeat gets anywhere.
                let new = Extent::length(page(20), PageType::Zero, PAGE);
                let new = Key::name("new").request(&launch.name, new);
                refused(bench.api.stage_request(new).await, "WRONG_STATE").installed(0);
                let refusal = bench.api.stage_request(other.clone()).await.unwrap_err();
                assert_eq!(Refusal::of(&refusal).number("installed_pages"), 0);
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_can_have_a_number_and_a_name() {
    on_every_platform(async |bench: &Bench| {
        let launch = sequenced(bench, "vm").await;
        let mut request = Key::Number(0).request(
            &launch.name,
            Extent::length(page(0), PageType::Zero, 2 * PAGE),
        );
        request.request_id = "once".to_owned();
        let first = bench.api.stage_request(request.clone()).await.unwrap();
        assert_eq!(
            bench.api.stage_request(request.clone()).await.unwrap(),
            first
        );
        for key in [Key::Number(0), Key::name("once")] {
            let told = key.result(&bench.api, &launch.name).await;
            assert_eq!(told.unwrap(), first, "{key:?}");
        }
        // Of the two, neither alone may be reused.
        let extent = Extent::length(page(8), PageType::Zero, PAGE);
        let mut reused = Key::Number(1).request(&launch.name, extent.clone());
        reused.request_id = "once".to_owned();
        refused(bench.api.stage_request(reused).await, "REQUEST_ID_REUSED");
        let mut reused = Key::Number(0).request(&launch.name, extent);
        reused.request_id = "twice".to_owned();
        refused(bench.api.stage_request(reused).await, "SEQUENCE_CONFLICT");
        assert_eq!(bench.api.get(&launch.name).await.unwrap().next_sequence, 1);
    })
    .await;
}
