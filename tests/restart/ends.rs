//! Launches that are over: every daemon says the same of them, until they are deleted.
use nix::sys::signal::Signal;
use stagepages_proto::v1::{AbortReason, Launch, LaunchState};
use stagepages_tests::{Bench, Extent, Key, PAGE, Watcher, eventually, page, refused, states};

use crate::rig::{
    answered, leased, on_every_platform, over, renew_daemon, renew_service, send, staged,
};

/// Stages a page under a name, so that there is an answer to be kept.
async fn named(bench: &Bench, launch: &Launch) {
    let extent = Extent::length(page(32), stagepages_proto::v1::PageType::Zero, PAGE);
    let request = Key::name("kept").request(&launch.name, extent);
    bench.api.stage_request(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_launches_survive_and_deleted_ones_do_not_come_back() {
    on_every_platform(async |mut bench| {
        let requested = staged(&bench, "requested", 3).await;
        let killed = staged(&bench, "killed", 4).await;
        let deleted = staged(&bench, "deleted", 5).await;
        let spec = leased(bench.platform, 1);
        let expired = bench.api.create("expired", spec).await.unwrap();
        for launch in [&requested, &killed, &expired] {
            named(&bench, launch).await;
        }
        bench.api.abort(&requested.name).await.unwrap();
        send(bench.daemon.host(&killed), Signal::SIGKILL);
        bench.api.abort(&deleted.name).await.unwrap();
        over(&bench, &deleted.name).await;
        bench.api.delete(&deleted.name).await.unwrap();
        let mut before = Vec::new();
        for (launch, pages, reason) in [
            (&requested, 4, AbortReason::Requested),
            (&killed, 5, AbortReason::HostDied),
            (&expired, 1, AbortReason::LeaseExpired),
        ] {
            let launch = over(&bench, &launch.name).await;
            assert_eq!(launch.abort.as_ref().unwrap().reason(), reason);
            assert_eq!(launch.installed_pages, pages);
            assert!(launch.end_time.is_some());
            before.push(launch);
        }
        let answer = Key::name("kept").result(&bench.api, &requested.name).await;
        let answer = answer.unwrap();

        for generation in 0..2 {
            if generation % 2 == 0 {
                renew_daemon(&mut bench).await;
            } else {
                renew_service(&mut bench, |_| {}).await;
            }
            for launch in &before {
                assert_eq!(bench.api.get(&launch.name).await.unwrap(), *launch);
                let again = bench.api.abort(&launch.name).await.unwrap();
                assert_eq!(again, *launch);
            }
            for name in [&requested.name, &expired.name] {
                let again = Key::name("kept").result(&bench.api, name).await;
                assert_eq!(again.unwrap(), answer);
            }
            let lost = Key::name("kept").result(&bench.api, &killed.name).await;
            refused(lost, "HOST_DIED").state("ABORTED");
            let gone = bench.api.get(&deleted.name).await;
            refused(gone, "LAUNCH_NOT_FOUND");
        }
        for launch in &before {
            bench.api.delete(&launch.name).await.unwrap();
        }
        renew_daemon(&mut bench).await;
        for launch in &before {
            refused(bench.api.get(&launch.name).await, "LAUNCH_NOT_FOUND");
        }
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_comes_while_no_daemon_lives_is_told_with_its_signal() {
    on_every_platform(async |mut bench| {
        let launch = staged(&bench, "vm", 3).await;
        let other = staged(&bench, "other", 4).await;
        let host = bench.daemon.host(&launch);
        bench.daemon.kill_daemon();
        send(host, Signal::SIGKILL);
        bench.reborn().await;
        let launch = over(&bench, &launch.name).await;
        let cause = launch.abort.unwrap();
        assert_eq!((cause.reason(), cause.signal), (AbortReason::HostDied, 9));
        let other = answered(&bench, &other.name).await;
        assert_eq!(
            (other.state(), other.installed_pages),
            (LaunchState::Staging, 4)
        );
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_was_not_on_record_is_found_with_its_host() {
    on_every_platform(async |mut bench| {
        let mut ended = Vec::new();
        for round in 0..4 {
            let launch = staged(&bench, &format!("vm-{round}"), 3).await;
            named(&bench, &launch).await;
            let (api, name) = (bench.api.clone(), launch.name.clone());
            let call = tokio::spawn(async move { api.abort(&name).await });
            for _ in 0..round * 60 {
                tokio::task::yield_now().await;
            }
            bench.daemon.kill_daemon();
            drop(call.await);
            bench.reborn().await;
            let now = answered(&bench, &launch.name).await;
            // The host heard of it, or did not. It was told to end by nobody else.
            if now.state() != LaunchState::Aborted {
                bench.api.abort(&launch.name).await.unwrap();
            }
            let now = over(&bench, &launch.name).await;
            let cause = now.abort.as_ref().unwrap();
            assert_eq!(cause.reason(), AbortReason::Requested, "{cause:?}");
            assert_eq!(now.installed_pages, 4);
            let kept = Key::name("kept").result(&bench.api, &launch.name).await;
            assert_eq!(kept.unwrap().installed_pages, 1);
            ended.push(now);
        }
        renew_daemon(&mut bench).await;
        for launch in ended {
            assert_eq!(bench.api.get(&launch.name).await.unwrap(), launch);
        }
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_of_the_next_daemon_sees_the_present_and_then_the_end() {
    on_every_platform(async |mut bench| {
        let launch = staged(&bench, "vm", 3).await;
        let mut old = Watcher::of(&bench, &launch.name).await.unwrap();
        assert_eq!(old.next().await.unwrap().installed_pages, 3);
        renew_daemon(&mut bench).await;
        drop(old);
        let mut watcher = Watcher::of(&bench, &launch.name).await.unwrap();
        let first = watcher.next().await.unwrap();
        assert_eq!(
            (first.state(), first.installed_pages),
            (LaunchState::Staging, 3)
        );
        send(bench.daemon.host(&launch), Signal::SIGKILL);
        let rest = watcher.rest().await;
        assert_eq!(states(&rest), [LaunchState::Aborted]);
        let last = rest.last().unwrap();
        assert_eq!(last.abort.as_ref().unwrap().signal, 9);
        eventually("its release", async || {
            let launch = bench.api.get(&launch.name).await.unwrap();
            launch.resources_released.then_some(())
        })
        .await;
        let told = Watcher::of(&bench, &launch.name).await.unwrap();
        renew_daemon(&mut bench).await;
        drop(told);
        let told = Watcher::of(&bench, &launch.name)
            .await
            .unwrap()
            .rest()
            .await;
        assert_eq!(states(&told), [LaunchState::Aborted]);
        bench
    })
    .await;
}
