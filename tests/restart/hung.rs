//! Hosts that hang: found by asking, in nobody's way, ended within a bound, and honest about what is not free yet.
use nix::sys::signal::Signal;
use stagepages_proto::v1::{AbortReason, LaunchState};
use stagepages_tests::{Contents, Extent, Watcher, halt, page, refused};

use crate::rig::{leased, on_every_platform, over, send, staged, when};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_is_noticed_and_one_that_comes_back_too() {
    on_every_platform(async |bench| {
        let (hung, other) = (
            staged(&bench, "hung", 3).await,
            staged(&bench, "other", 3).await,
        );
        let host = bench.daemon.host(&hung);
        let mut watcher = Watcher::of(&bench, &hung.name).await.unwrap();
        halt(host);
        while watcher
            .next()
            .await
            .unwrap()
            .host_unresponsive_since
            .is_none()
        {}
        // Others do not notice.
        let data = Contents::new(5).pages(1);
        let extent = Extent::normal(page(3), data);
        bench.api.stage(&other.name, extent).await.unwrap();
        bench.still_serves().await;
        let told = bench.api.get(&other.name).await.unwrap();
        assert_eq!(told.host_unresponsive_since, None);

        send(host, Signal::SIGCONT);
        while watcher
            .next()
            .await
            .unwrap()
            .host_unresponsive_since
            .is_some()
        {}
        let data = Contents::new(6).pages(1);
        bench
            .api
            .stage(&hung.name, Extent::normal(page(3), data))
            .await
            .unwrap();

        halt(host);
        let aborted = bench.api.abort(&hung.name).await.unwrap();
        assert_eq!(aborted.state(), LaunchState::Aborted);
        let cause = over(&bench, &hung.name).await.abort.unwrap();
        assert_eq!(cause.reason(), AbortReason::Requested, "{cause:?}");
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_of_a_host_that_hangs_runs_on_whatever_waits_for_it() {
    on_every_platform(async |bench| {
        let spec = leased(bench.platform, 1);
        let hung = bench.api.create("hung", spec).await.unwrap();
        halt(bench.daemon.host(&hung));
        let data = Contents::new(7).pages(1);
        let (api, name) = (bench.api.clone(), hung.name.clone());
        let call =
            tokio::spawn(async move { api.stage(&name, Extent::normal(page(0), data)).await });
        let ended = over(&bench, &hung.name).await;
        let cause = ended.abort.unwrap();
        assert_eq!(cause.reason(), AbortReason::LeaseExpired, "{cause:?}");
        refused(call.await.unwrap(), "ABORTED_DURING_CALL").state("ABORTED");
        let data = Contents::new(7).pages(1);
        let late = bench
            .api
            .stage(&hung.name, Extent::normal(page(0), data))
            .await;
        refused(late, "LEASE_EXPIRED").state("ABORTED");
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_and_not_gone_is_not_said_to_be_gone() {
    on_every_platform(async |bench| {
        let (stuck, other) = (
            staged(&bench, "stuck", 3).await,
            staged(&bench, "other", 3).await,
        );
        halt(bench.daemon.host(&stuck));
        // Nobody kills and nobody reaps: as if it were in the kernel and did not come out.
        halt(bench.daemon.pid());
        let aborted = bench.api.abort(&stuck.name).await.unwrap();
        assert_eq!(aborted.state(), LaunchState::Aborted);
        assert!(!aborted.resources_released, "{aborted:?}");
        refused(bench.api.delete(&stuck.name).await, "WRONG_STATE");
        let data = Contents::new(5).pages(1);
        let extent = Extent::normal(page(3), data);
        bench.api.stage(&other.name, extent).await.unwrap();

        send(bench.daemon.pid(), Signal::SIGCONT);
        let gone = when(&bench, &stuck.name, "the release", |launch| {
            launch.resources_released
        })
        .await;
        assert_eq!((gone.installed_pages, gone.host_pid), (3, 0));
        bench.api.delete(&stuck.name).await.unwrap();
        bench
    })
    .await;
}
