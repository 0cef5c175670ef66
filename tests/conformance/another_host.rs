//! A program of somebody else's is a launch host like the built-in one; what it cannot do is said beforehand.
use stagepages_proto::v1::{LaunchState, Platform, StartLaunchRequest};
use stagepages_tests::{Bench, Subjects, refused};

use crate::subjects::hosted_by_another;

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_from_the_built_in_one_and_runs_no_guest() {
    let case = async |bench: &Bench| {
        let node = bench.api.node_info().await;
        let info = |platform| {
            let mut all = node.platforms.iter();
            all.find(|info| info.platform() == platform).unwrap()
        };
        let (kvm, sim) = (info(Platform::Kvm), info(Platform::Sim));
        assert_eq!(kvm.host_program, env!("CARGO_BIN_EXE_external-host"));
        assert!(!kvm.runs_guests);
        assert_eq!(sim.host_program, "");

        let launch = bench.launch("vm").await;
        let program = std::fs::read_link(format!("/proc/{}/exe", launch.host_pid)).unwrap();
        assert_eq!(program.to_str(), Some(kvm.host_program.as_str()));
        bench.api.finish(&launch.name, vec![]).await.unwrap();
        let start = StartLaunchRequest {
            name: launch.name.clone(),
            uid: String::new(),
        };
        let started = bench.api.launches.clone().start_launch(start).await;
        refused(started, "UNSUPPORTED_OPERATION");
        let now = bench.api.get(&launch.name).await.unwrap();
        assert_eq!(now.state(), LaunchState::Finished);
    };
    Subjects::new([hosted_by_another()]).run(case).await;
}
