//! Calls that were with the host when the daemon was killed: carried out, once, and their answers found by whoever asks.
use stagepages_proto::v1::{LaunchState, OrderingMode, PageType, Platform};
use stagepages_tests::{
    Contents, DaemonOptions, Extent, Key, PAGE, Refusal, SimScript, Slow, eventually, page,
    refused, region, snapshot,
};

use crate::rig::{SLOW, answered, on, on_every_platform, renew_daemon, when};

#[tokio::test(flavor = "multi_thread")]
async fn an_extent_that_a_host_has_is_completed_and_its_answer_kept() {
    on_every_platform(async |mut bench| {
        let slow = Slow::launch(&bench, "vm").await;
        let name = slow.launch.name.clone();
        let key = Key::name("long");
        let request = key.request(&name, slow.extent());
        let (api, again) = (bench.api.clone(), request.clone());
        let call = tokio::spawn(async move { api.stage_request(request).await });
        slow.underway(&bench).await;
        bench.daemon.kill_daemon();
        let broken = call.await.unwrap().unwrap_err();
        assert!(broken.details().is_empty(), "{broken:?}");
        bench.reborn().await;

        answered(&bench, &name).await;
        let answer = key.result(&bench.api, &name).await.unwrap();
        assert_eq!(answer.installed_pages, slow.pages);
        let repeated = bench.api.stage_request(again).await.unwrap();
        assert_eq!(repeated, answer, "the first answer");
        let now = bench.api.get(&name).await.unwrap();
        assert_eq!(now.installed_pages, slow.pages);
        snapshot(&bench.api, &name).await;
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_calls_that_waited_a_beginning_is_applied_and_the_rest_can_be_sent_again() {
    const CALLS: u64 = 8;
    const LENGTH: u64 = 16;
    on(&DaemonOptions::new(), Platform::Sim, async |mut bench| {
        let pages = CALLS * LENGTH;
        let mut spec = SimScript::new()
            .latency(SLOW)
            .spec([region(page(0), pages * PAGE)]);
        spec.ordering = OrderingMode::Sequenced.into();
        let data = Contents::new(8).pages(pages);
        let request = |name: &str, number: u64| {
            let at = |page: u64| usize::try_from(page * LENGTH * PAGE).unwrap();
            let data = data.slice(at(number)..at(number + 1));
            Key::Number(number).request(name, Extent::normal(page(number * LENGTH), data))
        };
        let calm = bench.api.create("calm", spec.clone()).await.unwrap();
        for number in 0..CALLS {
            let answer = bench.api.stage_request(request(&calm.name, number)).await;
            assert_eq!(answer.unwrap().installed_pages, LENGTH);
        }
        let launch = bench.api.create("vm", spec).await.unwrap();
        let mut calls = Vec::new();
        for number in 0..CALLS {
            let (api, request) = (bench.api.clone(), request(&launch.name, number));
            calls.push(tokio::spawn(
                async move { api.stage_request(request).await },
            ));
        }
        when(&bench, &launch.name, "the first pages", |launch| {
            launch.installed_pages > 0
        })
        .await;
        renew_daemon(&mut bench).await;
        answered(&bench, &launch.name).await;
        let mut applied = 0;
        for number in 0..CALLS {
            match Key::Number(number).result(&bench.api, &launch.name).await {
                Ok(answer) => {
                    assert_eq!(applied, number, "in order, without a gap");
                    assert_eq!(answer.installed_pages, LENGTH);
                    applied += 1;
                }
                Err(status) => {
                    let refusal = Refusal::of(&status);
                    assert_eq!(refusal.reason, "RESULT_NOT_FOUND");
                    assert_eq!(refusal.number("next_sequence"), applied);
                }
            }
        }
        assert!(applied > 0, "the call that ran");
        for number in 0..CALLS {
            let answer = bench.api.stage_request(request(&launch.name, number)).await;
            assert_eq!(answer.unwrap().installed_pages, LENGTH);
        }
        let digest = |name: String| {
            let api = &bench.api;
            async move { api.get(&name).await.unwrap().launch_digest }
        };
        assert_eq!(digest(launch.name).await, digest(calm.name).await);
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finish_that_waited_is_carried_out_or_was_not_heard_of() {
    on_every_platform(async |mut bench| {
        let slow = Slow::launch(&bench, "vm").await;
        let name = slow.launch.name.clone();
        let call = slow.start(&bench);
        slow.underway(&bench).await;
        let (api, launch) = (bench.api.clone(), name.clone());
        let finish = tokio::spawn(async move { api.finish(&launch, "").await });
        renew_daemon(&mut bench).await;
        drop((call.await, finish.await));
        let found = answered(&bench, &name).await;
        assert_eq!(found.installed_pages, slow.pages);
        let finished = bench.api.finish(&name, "").await.unwrap();
        assert_eq!(finished.state(), LaunchState::Finished);
        renew_daemon(&mut bench).await;
        let again = bench.api.finish(&name, "").await.unwrap();
        assert_eq!(
            again, finished,
            "the first answer, also from another daemon"
        );
        let late = Extent::length(page(0), PageType::Normal, PAGE);
        refused(bench.api.stage(&name, late).await, "WRONG_STATE").state("FINISHED");
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_busy_for_long_is_awaited_beside_the_others() {
    on(&DaemonOptions::new(), Platform::Sim, async |mut bench| {
        let slow = Slow::launch(&bench, "busy").await;
        let other = bench.launch("other").await;
        let call = slow.start(&bench);
        slow.underway(&bench).await;
        renew_daemon(&mut bench).await;
        drop(call.await);
        // Whatever the busy one is at: the daemon serves.
        answered(&bench, &other.name).await;
        bench.still_serves().await;
        eventually("the end of what the busy one had", async || {
            let launch = bench.api.get(&slow.launch.name).await.ok()?;
            (launch.installed_pages == slow.pages).then_some(())
        })
        .await;
        bench
    })
    .await;
}
