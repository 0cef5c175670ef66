//! Leases across daemons: what nobody comes back for ends itself, and the next daemon says what it knows of that.
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use stagepages_proto::v1::{AbortReason, LaunchState, RenewLeaseRequest};
use stagepages_tests::{Contents, Extent, eventually, halt, page};

use crate::rig::{
    answered, leased, no_hosts, on_every_platform, over, renew_daemon, renew_service, send,
};

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_nobody_comes_back_for_end_themselves() {
    on_every_platform(async |mut bench| {
        let spec = leased(bench.platform, 1);
        let launch = bench.api.create("vm", spec).await.unwrap();
        let data = Contents::new(1).pages(3);
        bench
            .api
            .stage(&launch.name, Extent::normal(page(0), data))
            .await
            .unwrap();
        bench.api.finish(&launch.name, "").await.unwrap();
        tokio::task::block_in_place(|| bench.daemon.kill_all_but_hosts());
        no_hosts(&bench).await;
        renew_service(&mut bench, |_| {}).await;
        // Nobody saw how it ended, and nobody claims to have.
        let launch = over(&bench, &launch.name).await;
        let cause = launch.abort.as_ref().unwrap();
        let honest = [AbortReason::HostDied, AbortReason::LeaseExpired];
        assert!(honest.contains(&cause.reason()), "{cause:?}");
        assert_eq!((cause.signal, launch.installed_pages), (0, 3), "{launch:?}");
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_of_a_host_whose_lease_ran_out_says_so() {
    on_every_platform(async |mut bench| {
        let spec = leased(bench.platform, 1);
        let launch = bench.api.create("vm", spec).await.unwrap();
        // A supervisor that is stopped starts no daemon, and reaps when it goes on.
        halt(bench.daemon.pid());
        bench.daemon.kill_daemon();
        no_hosts(&bench).await;
        send(bench.daemon.pid(), Signal::SIGCONT);
        bench.reborn().await;
        let launch = over(&bench, &launch.name).await;
        let cause = launch.abort.unwrap();
        assert_eq!(cause.reason(), AbortReason::LeaseExpired, "{cause:?}");
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_host_lives_as_long_as_it_is_touched() {
    const LEASE: u64 = 3;
    on_every_platform(async |mut bench| {
        let spec = leased(bench.platform, LEASE.try_into().unwrap());
        let launch = bench.api.create("vm", spec).await.unwrap();
        renew_daemon(&mut bench).await;
        let adopted = answered(&bench, &launch.name).await;
        let host = bench.daemon.host(&launch);
        let first = SystemTime::try_from(adopted.lease_expire_time.unwrap()).unwrap();
        eventually("a moment behind the first lease", async || {
            let request = RenewLeaseRequest {
                name: launch.name.clone(),
                uid: launch.uid.clone(),
            };
            bench
                .api
                .launches
                .clone()
                .renew_lease(request)
                .await
                .unwrap();
            (SystemTime::now() > first + Duration::from_secs(1)).then_some(())
        })
        .await;
        let now = answered(&bench, &launch.name).await;
        assert_eq!(now.state(), LaunchState::Created);
        assert_eq!(bench.daemon.host(&launch), host);
        bench
    })
    .await;
}
