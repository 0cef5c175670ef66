//! StagePagesStream beside its stop rule: order of answers, many streams at once, and streams that go wrong or vanish.
use stagepages_proto::v1::{LaunchState, PageType, StagePagesStreamRequest};
use stagepages_tests::{
    Api, Bench, Contents, Extent, Key, PAGE, eventually, page, refused, snapshot,
};

use super::calls::{assert_complete, sequenced};
use super::on_every_platform;
use super::talk::{Talk, exchange};

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_in_the_order_of_the_requests() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let mut random = Contents::new(11);
        // Large and small alternate, so that the small ones could overtake.
        let lengths = [300_u64, 1, 200, 2, 100, 3, 50, 1, 1];
        let mut first = 0;
        let mut requests = Vec::new();
        for pages in lengths {
            requests.push((
                first,
                pages,
                Extent::normal(page(first), random.pages(pages)),
            ));
            first += pages;
        }
        let mut talk = Talk::open(&bench.api).await;
        for (index, (_, _, extent)) in requests.iter().enumerate() {
            let mut request = extent.clone().request(&launch.name);
            if index > 0 {
                request.name.clear(); // only the first has to name the launch
            }
            talk.say(request);
        }
        for (first, pages, _) in &requests {
            assert_complete(&talk.answer().await.unwrap(), *first, *pages);
        }
        // The stream is open still: an answer does not wait for the end.
        let last = Extent::length(page(first), PageType::Zero, PAGE);
        talk.say(last.request(&launch.name));
        assert_complete(&talk.answer().await.unwrap(), first, 1);
        talk.hang_up();
        assert!(talk.rest().await.is_empty());
        snapshot(&bench.api, &launch.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_stream_ends_well() {
    on_every_platform(async |bench: &Bench| {
        assert!(exchange(&bench.api, []).await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_streams_and_single_calls_share_a_launch() {
    const STREAMS: u64 = 6;
    const EACH: u64 = 20;
    const PAGES: u64 = 5;
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let mut racing = tokio::task::JoinSet::new();
        for number in 0..=STREAMS {
            let (api, name) = (Api::unix(bench.daemon.socket()).await, launch.name.clone());
            let mut random = Contents::new(100 + number);
            let extents: Vec<_> = (0..EACH)
                .map(|index| {
                    let first = (index * (STREAMS + 1) + number) * PAGES;
                    Extent::normal(page(first), random.pages(PAGES))
                })
                .collect();
            racing.spawn(async move {
                if number == STREAMS {
                    let mut counted = 0;
                    for extent in extents {
                        counted += api.stage(&name, extent).await.unwrap().installed_pages;
                    }
                    return counted;
                }
                let requests = extents.into_iter().map(|extent| extent.request(&name));
                let answers = exchange(&api, requests).await;
                assert_eq!(answers.len() as u64, EACH);
                let counts = answers
                    .into_iter()
                    .map(|said| said.unwrap().installed_pages);
                counts.sum()
            });
        }
        let counted: u64 = racing.join_all().await.into_iter().sum();
        assert_eq!(counted, (STREAMS + 1) * EACH * PAGES);
        let now = bench.api.get(&launch.name).await.unwrap();
        assert_eq!(now.installed_pages, counted);
        snapshot(&bench.api, &launch.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_names_another_launch_midway_ends_there() {
    on_every_platform(async |bench: &Bench| {
        let (launch, other) = (bench.launch("vm").await, bench.launch("other").await);
        let extent = |first: u64| Extent::length(page(first), PageType::Zero, PAGE);
        let by_name = extent(1).request(&other.name);
        let mut by_uid = extent(1).request(&launch.name);
        by_uid.uid = other.uid.clone();
        for (first, (stray, field)) in [(by_name, "name"), (by_uid, "uid")].into_iter().enumerate()
        {
            let first = 10 * first as u64;
            let mut talk = Talk::open(&bench.api).await;
            talk.say(extent(first).request(&launch.name));
            talk.say(stray);
            talk.say(extent(first + 2).request(&launch.name));
            assert_complete(&talk.answer().await.unwrap(), first, 1);
            refused(talk.heard().await, "MALFORMED_REQUEST").blames(field);
        }
        let now = bench.api.get(&other.name).await.unwrap();
        assert_eq!(now.state(), LaunchState::Created, "untouched");
        let now = bench.api.get(&launch.name).await.unwrap();
        assert_eq!(now.installed_pages, 2, "one page of each stream");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_a_launch_is_refused() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let extent = || Extent::length(page(0), PageType::Zero, PAGE);
        let mut late = extent().request(&launch.name);
        late.uid = "0".repeat(32);
        for (request, reason) in [
            (Some(extent().request("launches/none")), "LAUNCH_NOT_FOUND"),
            (Some(late), "LAUNCH_NOT_FOUND"),
            (Some(extent().request("vm")), "MALFORMED_REQUEST"),
            (Some(extent().request("")), "MALFORMED_REQUEST"),
            (None, "MALFORMED_REQUEST"),
        ] {
            let mut talk = Talk::open(&bench.api).await;
            talk.say_raw(StagePagesStreamRequest { request });
            refused(talk.heard().await, reason);
        }
        let now = bench.api.get(&launch.name).await.unwrap();
        assert_eq!(now.installed_pages, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_in_the_middle_loses_no_count() {
    on_every_platform(async |bench: &Bench| {
        let launch = sequenced(bench, "vm").await;
        // A runtime of its own takes its connection with it when it goes.
        let doomed = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (socket, name) = (bench.daemon.socket().to_owned(), launch.name.clone());
        let mut random = Contents::new(12);
        let extents: Vec<_> = (0..64)
            .map(|index| Extent::normal(page(index * 16), random.pages(16)))
            .collect();
        let sent = extents.clone();
        let (answered, first_answer) = tokio::sync::oneshot::channel();
        doomed.spawn(async move {
            let mut talk = Talk::open(&Api::unix(&socket).await).await;
            for (number, extent) in (0..).zip(sent) {
                talk.say(Key::Number(number).request(&name, extent));
            }
            talk.answer().await.unwrap();
            answered.send(()).unwrap();
            talk.rest().await;
        });
        first_answer.await.unwrap();
        doomed.shutdown_background();

        // Whoever comes next sends all of it again, and cannot tell from the answers that there was somebody before.
        let requests = (0..)
            .zip(extents)
            .map(|(number, extent)| Key::Number(number).request(&launch.name, extent));
        let answers = exchange(&bench.api, requests).await;
        assert_eq!(answers.len(), 64);
        for (index, said) in (0..).zip(answers) {
            assert_complete(&said.unwrap(), index * 16, 16);
        }
        eventually("the last of the vanished client's calls", async || {
            let now = bench.api.get(&launch.name).await.unwrap();
            (now.installed_pages == 1024 && now.next_sequence == 64).then_some(())
        })
        .await;
        snapshot(&bench.api, &launch.name).await;
    })
    .await;
}
