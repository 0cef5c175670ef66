//! AbortLaunch and DeleteLaunch: memory goes, the record stays, then the record goes too.
use super::on_every_platform;
use stagepages_proto::v1::{AbortReason, LaunchState};
use stagepages_tests::{Bench, Contents, Extent, SharedMemory, eventually, page, refused};

fn process_lives(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_launch_keeps_its_record_and_nothing_else() {
    on_every_platform(async |bench: &Bench| {
        for finish_first in [false, true] {
            let launch = bench.launch("").await;
            bench
                .api
                .stage(
                    &launch.name,
                    Extent::normal(page(0), Contents::new(71).pages(5)),
                )
                .await
                .unwrap();
            if finish_first {
                bench.api.finish(&launch.name, vec![]).await.unwrap();
            }
            assert!(process_lives(launch.host_pid));
            let memory = SharedMemory::held_by(bench.daemon.host(&launch));
            let aborted = bench.api.abort(&launch.name).await.unwrap();
            assert_eq!(
                (aborted.state(), aborted.installed_pages),
                (LaunchState::Aborted, 5)
            );
            let cause = aborted.abort.clone().unwrap();
            assert_eq!(
                (cause.reason(), cause.signal),
                (AbortReason::Requested, 0),
                "{cause:?}"
            );
            assert!(
                !cause.message.is_empty() && aborted.end_time.is_some(),
                "{aborted:?}"
            );

            // Waits a bounded time for the host; where that was not enough, the record says so and then changes its mind.
            let released = eventually("the release of an aborted launch", async || {
                Some(bench.api.get(&launch.name).await.unwrap())
                    .filter(|launch| launch.resources_released)
            })
            .await;
            assert_eq!(released.host_pid, 0);
            assert!(
                !process_lives(launch.host_pid),
                "released, but its host lives"
            );
            eventually(
                "the close of all memory that was the launch's",
                async || memory.holders().is_empty().then_some(()),
            )
            .await;
            assert_eq!(
                bench.api.abort(&launch.name).await.unwrap(),
                released,
                "aborting again returns the launch as it is"
            );
            assert_eq!((released.uid, released.spec), (launch.uid, launch.spec));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_launch_has_no_pages_to_stage_or_verify() {
    on_every_platform(async |bench: &Bench| {
        let name = bench.launch("vm").await.name;
        bench
            .api
            .stage(&name, Extent::normal(page(0), Contents::new(72).pages(1)))
            .await
            .unwrap();
        bench.api.abort(&name).await.unwrap();
        refused(
            bench
                .api
                .stage(&name, Extent::normal(page(1), Contents::new(72).pages(1)))
                .await,
            "WRONG_STATE",
        )
        .state("ABORTED")
        .has_precondition();
        refused(bench.api.verify(&name).await, "WRONG_STATE")
            .state("ABORTED")
            .has_precondition();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_ended_launch_is_deleted_and_only_once() {
    on_every_platform(async |bench: &Bench| {
        let first = bench.launch("vm").await;
        refused(bench.api.delete(&first.name).await, "WRONG_STATE")
            .state("CREATED")
            .has_precondition();
        bench
            .api
            .stage(
                &first.name,
                Extent::normal(page(0), Contents::new(73).pages(1)),
            )
            .await
            .unwrap();
        refused(bench.api.delete(&first.name).await, "WRONG_STATE").state("STAGING");
        bench.api.finish(&first.name, vec![]).await.unwrap();
        refused(bench.api.delete(&first.name).await, "WRONG_STATE").state("FINISHED");
        assert!(
            bench.api.verify(&first.name).await.unwrap().consistent,
            "three refusals changed nothing"
        );

        bench.api.abort(&first.name).await.unwrap();
        bench.api.delete(&first.name).await.unwrap();
        refused(bench.api.delete(&first.name).await, "LAUNCH_NOT_FOUND");
        refused(bench.api.get(&first.name).await, "LAUNCH_NOT_FOUND");
        assert_eq!(bench.api.node_info().await.usage.unwrap().launches, 0);

        let second = bench.launch("vm").await;
        assert_eq!(
            (second.state(), second.installed_pages),
            (LaunchState::Created, 0)
        );
        assert_ne!(second.uid, first.uid);
    })
    .await;
}
