//! Devices are healthy while the daemon serves, and only then.

use nix::sys::signal::{Signal, kill};
use stagepages_tests::{eventually, halt};
use tonic::Code;

use super::node::{Node, SIM};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_all_are_unhealthy_and_with_the_next_one_healthy() {
    let mut node = Node::new(&["sim=2"]);
    node.kubelet.start();
    let agent = node.agent();
    node.has(SIM, 2, true).await;

    node.daemon.terminate();
    node.has(SIM, 2, false).await;
    let status = node
        .kubelet
        .allocate(SIM, &["sim-0".to_owned()])
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(
        status.message().starts_with("device sim-0 is unhealthy: "),
        "{status}"
    );

    tokio::task::block_in_place(|| {
        node.daemon.kill_all();
        node.daemon.start_again();
        node.daemon.restarted();
    });
    node.has(SIM, 2, true).await;
    node.kubelet.admit("team", "vm", SIM, 2).await.unwrap();
    assert_eq!(
        node.kubelet.registrations(SIM),
        1,
        "nothing was to be registered anew"
    );
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_hangs_is_none() {
    let mut node = Node::new(&["sim=1"]);
    node.kubelet.start();
    let agent = node.agent();
    for _ in 0..2 {
        node.has(SIM, 1, true).await;
        halt(node.daemon.daemon_pid());
        node.has(SIM, 1, false).await;
        kill(node.daemon.daemon_pid(), Signal::SIGCONT).unwrap();
    }
    node.has(SIM, 1, true).await;
    let log = agent.log();
    assert!(log.contains("has not answered within"), "{log}");
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_takes_no_device_along() {
    let mut node = Node::new(&["sim=2"]);
    node.kubelet.start();
    let agent = node.agent();
    node.has(SIM, 2, true).await;
    let given = node.kubelet.admit("team", "vm", SIM, 1).await.unwrap();
    for _ in 0..3 {
        tokio::task::block_in_place(|| {
            node.daemon.kill_daemon();
            node.daemon.restarted();
        });
        node.has(SIM, 2, true).await;
        let again = node
            .kubelet
            .allocate(SIM, &["sim-0".to_owned()])
            .await
            .unwrap();
        assert_eq!(again, given);
    }
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_directory_is_gone_is_unhealthy_alone() {
    let mut node = Node::new(&["sim=2"]);
    node.kubelet.start();
    let agent = node.agent();
    node.has(SIM, 2, true).await;
    let (device, aside) = (
        node.device_dir().join("sim-1"),
        node.device_dir().join("aside"),
    );
    std::fs::rename(&device, &aside).unwrap();
    eventually("one unhealthy device", async || {
        let unhealthy = node.kubelet.devices(SIM, false);
        (unhealthy == ["sim-1"]).then_some(())
    })
    .await;
    assert_eq!(node.kubelet.devices(SIM, true), ["sim-0"]);
    std::fs::rename(&aside, &device).unwrap();
    node.has(SIM, 2, true).await;
    agent.stop();
    node.daemon.stop();
}
