//! A daemon that is killed while it makes a launch: whoever asks again gets the launch, and there is one.
use stagepages_proto::v1::LaunchState;
use stagepages_tests::{Contents, Extent, eventually, lease_aside, page, region, snapshot, spec};

use crate::rig::{on_every_platform, renew_daemon};

/// Moments: the call is on its way, a host is there, its socket is, and so on up to the answer.
const MOMENTS: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_is_asked_for_again_is_there_once() {
    on_every_platform(async |mut bench| {
        for moment in 0..MOMENTS {
            let id = format!("vm-{moment}");
            // Large enough that its memory takes a while to be set up.
            let spec = spec(bench.platform, [region(page(0), 1 << 30)]);
            let (api, wanted, name) = (bench.api.clone(), spec.clone(), id.clone());
            let call = tokio::spawn(async move { api.create(&name, wanted).await });
            let hosts = usize::try_from(moment).unwrap();
            eventually("the moment", async || {
                let began = bench.daemon.hosts() > hosts || call.is_finished();
                (moment == 0 || began).then_some(())
            })
            .await;
            for _ in 0..moment * moment * 100 {
                tokio::task::yield_now().await;
            }
            bench.daemon.kill_daemon();
            drop(call.await);
            bench.reborn().await;

            let launch = bench.api.create(&id, spec.clone()).await.unwrap();
            assert_eq!(launch.state(), LaunchState::Created);
            let data = Contents::new(moment).pages(3);
            let staged = bench
                .api
                .stage(&launch.name, Extent::normal(page(0), data))
                .await;
            assert_eq!(staged.unwrap().installed_pages, 3);
            snapshot(&bench.api, &launch.name).await;
            // It is this one's, and the host of the one that was not answered is gone, or this.
            assert!(bench.daemon.find_host(&launch).is_some());
            eventually("one host for each launch", async || {
                (bench.daemon.hosts() == hosts + 1).then_some(())
            })
            .await;
            let again = bench.api.create(&id, spec).await.unwrap();
            assert_eq!(again, launch, "the first answer");
        }
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_answer_is_that_of_every_daemon() {
    on_every_platform(async |mut bench| {
        let spec = spec(bench.platform, [region(page(0), 64 << 12)]);
        let first = bench.api.create("vm", spec.clone()).await.unwrap();
        let found = bench.api.get("launches/vm").await.unwrap();
        assert_eq!(lease_aside(&first), lease_aside(&found));
        let data = Contents::new(1).pages(3);
        let extent = Extent::normal(page(0), data);
        bench.api.stage("launches/vm", extent).await.unwrap();
        renew_daemon(&mut bench).await;
        let again = bench.api.create("vm", spec).await.unwrap();
        assert_eq!(lease_aside(&again), lease_aside(&first));
        bench
    })
    .await;
}
