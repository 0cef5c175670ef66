//! What is told of a call and of its launch when the platform itself fails, by script.
use std::time::Duration;

use stagepages_proto::v1::sim_fault::Effect;
use stagepages_proto::v1::{AbortReason, LaunchState, PageType};
use stagepages_tests::{
    Bench, Contents, Extent, Key, PAGE, SimScript, Watcher, page, refused, region,
};

use crate::cases::calls::{assert_complete, extents};
use crate::cases::talk::{exchange, not_applied};
use crate::subjects;

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_refusal_that_ends_the_launch_nothing_is_said_to_be_applied() {
    let subjects = subjects()
        .that_can("behind_the_refusal_that_ends_the_launch_nothing_is_said_to_be_applied");
    subjects
        .run(async |bench: &Bench| {
            // Often: what is behind reaches the launch host before, while and after it ends.
            for round in 0..10 {
                let name = format!("vm-{round}");
                let script = SimScript::new().fault(page(6), 1, Effect::FirmwareStatus(5));
                let spec = script.spec([region(page(0), 1024 * PAGE)]);
                let launch = bench.api.create(&name, spec).await.unwrap();
                let mut random = Contents::new(5);
                let all = extents(&mut random, [0, 4, 8, 12, 16, 20, 24, 28]);
                let requests = all.map(|extent| extent.request(&launch.name));
                let mut answers = exchange(&bench.api, requests).await.into_iter();
                assert_complete(&answers.next().unwrap().unwrap(), 0, 4);
                refused(answers.next().unwrap(), "FIRMWARE_REFUSED")
                    .at(page(6))
                    .installed(2)
                    .state("ABORTED");
                not_applied(answers.collect(), 6);
                let now = bench.api.get(&launch.name).await.unwrap();
                assert_eq!(
                    (now.state(), now.installed_pages),
                    (LaunchState::Aborted, 6)
                );
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_call_that_ended_the_launch_is_told_with_its_count() {
    let subjects = subjects().that_can("the_call_that_ended_the_launch_is_told_with_its_count");
    subjects
        .run(async |bench: &Bench| {
            let faults = [
                (Effect::FirmwareStatus(5), "FIRMWARE_REFUSED"),
                (Effect::KernelErrno(5), "KERNEL_REFUSED"),
                (Effect::StrayPage(true), "KERNEL_REFUSED"),
            ];
            for (index, (effect, reason)) in faults.into_iter().enumerate() {
                let script = SimScript::new().fault(page(5), 1, effect);
                let spec = script.spec([region(page(0), 64 * PAGE)]);
                let launch = bench
                    .api
                    .create(&format!("vm-{index}"), spec)
                    .await
                    .unwrap();
                let mut random = Contents::new(42);
                let before = Key::name("before")
                    .request(&launch.name, Extent::normal(page(0), random.pages(2)));
                let before = bench.api.stage_request(before).await.unwrap();
                let last = Key::name("last");
                let request = last.request(&launch.name, Extent::normal(page(2), random.pages(6)));
                let own = refused(bench.api.stage_request(request.clone()).await, reason);
                own.at(page(5)).installed(3).state("ABORTED");
                for told in [
                    last.result(&bench.api, &launch.name).await,
                    bench.api.stage_request(request).await,
                ] {
                    let told = refused(told, reason);
                    told.at(page(5)).installed(3).state("ABORTED");
                    assert_eq!(told.message, own.message, "the first answer, word for word");
                }
                let told = Key::name("before").result(&bench.api, &launch.name).await;
                assert_eq!(told.unwrap(), before);
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_longer_than_the_lease_keeps_it() {
    let subjects = subjects().that_can("a_call_that_takes_longer_than_the_lease_keeps_it");
    subjects
        .run(async |bench: &Bench| {
            let script = SimScript::new().latency(Duration::from_millis(25));
            let mut spec = script.spec([region(page(0), 100 * PAGE)]);
            spec.lease = Some(prost_types::Duration {
                seconds: 1,
                nanos: 0,
            });
            let launch = bench.api.create("vm", spec).await.unwrap();
            let extent = Extent::length(page(0), PageType::Normal, 100 * PAGE);
            let answer = bench.api.stage(&launch.name, extent).await;
            assert_complete(&answer.unwrap(), 0, 100);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_ends_the_launch_is_told_with_its_cause() {
    let subjects = subjects().that_can("a_refusal_that_ends_the_launch_is_told_with_its_cause");
    subjects
        .run(async |bench: &Bench| {
            let script = SimScript::new().fault(page(3), 1, Effect::KernelErrno(5));
            let spec = script.spec([region(page(0), 16 * PAGE)]);
            let launch = bench.api.create("vm", spec).await.unwrap();
            let watcher = Watcher::of(bench, &launch.name).await.unwrap();
            let extent = Extent::length(page(0), PageType::Zero, 8 * PAGE);
            refused(
                bench.api.stage(&launch.name, extent).await,
                "KERNEL_REFUSED",
            );
            let told = watcher.rest().await;
            let last = told.last().unwrap();
            assert_eq!(
                (last.state(), last.installed_pages),
                (LaunchState::Aborted, 3)
            );
            assert_eq!(
                last.abort.as_ref().unwrap().reason(),
                AbortReason::PlatformRefused
            );
        })
        .await;
}
