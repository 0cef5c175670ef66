//! StartLaunch where the launch's host runs no guests: refused, as GetNodeInfo says beforehand, and nothing is lost.
use stagepages_proto::v1::{LaunchState, StartLaunchRequest};
use stagepages_tests::{Bench, lease_aside, refused};

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_cannot_run_here_is_not_started() {
    let case = "a_guest_that_cannot_run_here_is_not_started";
    let subjects = super::subjects().that_can(case);
    subjects
        .run(async |bench: &Bench| {
            let name = bench.launch("vm").await.name;
            let finished = bench.api.finish(&name, vec![]).await.unwrap();
            let start = StartLaunchRequest {
                name: name.clone(),
                uid: String::new(),
            };
            let started = bench.api.launches.clone().start_launch(start).await;
            refused(started, "UNSUPPORTED_OPERATION");
            let now = bench.api.get(&name).await.unwrap();
            assert_eq!(now.state(), LaunchState::Finished);
            assert_eq!(lease_aside(&now), lease_aside(&finished));
        })
        .await;
}
