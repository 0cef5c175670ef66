//! The life of a launch whose guest runs: what may be asked of it when.
use std::time::Duration;

use bytes::Bytes;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stagepages_proto::v1::{AbortReason, LaunchSpec, LaunchState, Platform, RenewLeaseRequest};
use stagepages_tests::{Bench, Extent, PAGE, halt, page, refused, region, spec};

use crate::listing::{assemble, forever};
use crate::program::{get, guest, image, long, on_kvm, real, run, stage, start, stop, watch};

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_starts_once_and_after_it_is_finished() {
    on_kvm(async |bench: &Bench| {
        let launch = bench.api.create("vm", guest([long(0)])).await.unwrap();
        for state in ["CREATED", "STAGING"] {
            let early = refused(start(bench, &launch.name).await, "WRONG_STATE");
            assert_eq!(early.meta("launch_state"), state);
            let early = refused(stop(bench, &launch.name).await, "WRONG_STATE");
            assert_eq!(early.meta("launch_state"), state);
            if state == "CREATED" {
                stage(bench, &launch, image(&assemble(64, forever))).await;
            }
        }
        bench.api.finish(&launch.name, Bytes::new()).await.unwrap();
        refused(stop(bench, &launch.name).await, "WRONG_STATE");
        let running = start(bench, &launch.name).await.unwrap();
        assert_eq!(running.state(), LaunchState::Running);
        let again = refused(start(bench, &launch.name).await, "WRONG_STATE");
        assert_eq!(again.meta("launch_state"), "RUNNING");
        // Nor is anything staged, checked or deleted while it runs.
        let extent = Extent::normal(page(8), vec![1; 4096]);
        refused(bench.api.stage(&launch.name, extent).await, "WRONG_STATE");
        refused(bench.api.verify(&launch.name).await, "WRONG_STATE");
        refused(bench.api.delete(&launch.name).await, "WRONG_STATE");
        stop(bench, &launch.name).await.unwrap();
        refused(start(bench, &launch.name).await, "WRONG_STATE");
        bench.api.delete(&launch.name).await.unwrap();
        refused(stop(bench, &launch.name).await, "LAUNCH_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_without_guests_says_so() {
    on_kvm(async |bench: &Bench| {
        let info = bench.api.node_info().await;
        let runs = |platform: Platform| {
            let found = info
                .platforms
                .iter()
                .find(|info| info.platform() == platform);
            found.unwrap().runs_guests
        };
        assert!(runs(Platform::Kvm) && !runs(Platform::Sim));
        let sim = spec(Platform::Sim, [region(page(0), PAGE)]);
        let launch = bench.api.create("sim", sim).await.unwrap();
        bench.api.finish(&launch.name, Bytes::new()).await.unwrap();
        refused(start(bench, &launch.name).await, "UNSUPPORTED_OPERATION");
        assert_eq!(
            get(bench, &launch.name).await.state(),
            LaunchState::Finished
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_outlives_its_lease() {
    on_kvm(async |bench: &Bench| {
        let lease = Duration::from_secs(1);
        let short = LaunchSpec {
            lease: Some(lease.try_into().unwrap()),
            ..guest([long(0)])
        };
        let code = assemble(64, forever);
        let launch = run(bench, "vm", short.clone(), &code).await;
        assert_eq!(launch.lease_expire_time, None);
        // Another with the same lease is started later and left alone: when that one is over, this one would be.
        let left = bench.api.create("left", short).await.unwrap();
        let told = watch(bench, &left.name).await;
        assert_eq!(
            told.last().unwrap().abort.as_ref().unwrap().reason(),
            AbortReason::LeaseExpired
        );
        let launch = get(bench, &launch.name).await;
        assert_eq!(
            (launch.state(), launch.lease_expire_time),
            (LaunchState::Running, None)
        );
        let stopped = stop(bench, &launch.name).await.unwrap();
        assert_eq!(stopped.lease_expire_time, None);
        let request = RenewLeaseRequest {
            name: launch.name,
            uid: String::new(),
        };
        let renewed = bench.api.launches.clone().renew_lease(request).await;
        refused(renewed, "WRONG_STATE");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_dies_takes_its_guest_with_it() {
    on_kvm(async |bench: &Bench| {
        let code = assemble(16, forever);
        let launch = run(bench, "vm", guest([real(0)]), &code).await;
        let other = run(bench, "other", guest([real(0)]), &code).await;
        let pid = Pid::from_raw(launch.host_pid.try_into().unwrap());
        kill(pid, Signal::SIGKILL).unwrap();
        let last = watch(bench, &launch.name).await.pop().unwrap();
        let cause = last.abort.clone().unwrap();
        assert_eq!(
            (last.state(), cause.reason(), cause.signal),
            (LaunchState::Aborted, AbortReason::HostDied, 9)
        );
        assert!(last.start_time.is_some() && last.stop_time.is_some() && last.stop.is_none());
        refused(stop(bench, &launch.name).await, "WRONG_STATE");
        assert_eq!(get(bench, &other.name).await.state(), LaunchState::Running);
        stop(bench, &other.name).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_is_killed_by_a_stop() {
    on_kvm(async |bench: &Bench| {
        let code = assemble(16, forever);
        let launch = run(bench, "vm", guest([real(0)]), &code).await;
        let pid = Pid::from_raw(launch.host_pid.try_into().unwrap());
        halt(pid);
        let stopped = stop(bench, &launch.name).await.unwrap();
        let cause = stopped.stop.clone().unwrap();
        assert_eq!(
            (stopped.state(), cause.reason(), stopped.resources_released),
            (
                LaunchState::Stopped,
                stagepages_proto::v1::StopReason::Requested,
                true
            )
        );
        assert!(cause.message.contains("killed"), "{}", cause.message);
        bench.api.delete(&launch.name).await.unwrap();
    })
    .await;
}
