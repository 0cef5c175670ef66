//! Kubelet comes, goes, and comes back.

use stagepages_tests::eventually;

use super::node::{Node, SIM};

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_restarts_gets_its_devices_back() {
    let mut node = Node::new(&["sim=2", "kvm=1"]);
    node.kubelet.start();
    let agent = node.agent();
    node.has(SIM, 2, true).await;
    node.kubelet.admit("team", "vm", SIM, 1).await.unwrap();
    for _ in 0..3 {
        node.kubelet.start();
        node.has(SIM, 2, true).await;
        eventually("kvm", async || {
            node.kubelet
                .resources()
                .contains("stagepages.dev/kvm")
                .then_some(())
        })
        .await;
    }
    // The first pod has its device still.
    let given = node.kubelet.admit("team", "vm-2", SIM, 1).await.unwrap();
    assert_eq!(given.annotations["stagepages.dev/devices"], "sim-1");
    node.kubelet
        .admit("team", "vm-3", SIM, 1)
        .await
        .unwrap_err();
    node.kubelet.forget("team", "vm");
    node.kubelet.admit("team", "vm-3", SIM, 1).await.unwrap();
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_is_missing_is_waited_for_and_that_is_said_once() {
    let mut node = Node::new(&["sim=1"]);
    let agent = node.agent();
    let missing = "kubelet.sock is not there; waiting for it";
    eventually("a word about it", async || {
        agent.log().contains(missing).then_some(())
    })
    .await;
    node.kubelet.start();
    node.has(SIM, 1, true).await;
    assert_eq!(agent.log().matches(missing).count(), 1, "{}", agent.log());
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_is_gone_for_a_while_is_met_again() {
    let mut node = Node::new(&["sim=1"]);
    node.kubelet.start();
    let agent = node.agent();
    node.has(SIM, 1, true).await;
    node.kubelet.kill();
    std::fs::remove_file(node.kubelet.plugins().join("kubelet.sock")).unwrap();
    eventually("a word about it", async || {
        agent
            .log()
            .contains("kubelet's socket is gone")
            .then_some(())
    })
    .await;
    node.kubelet.start();
    node.has(SIM, 1, true).await;
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_in_the_place_of_kubelets_is_registered_with() {
    let mut node = Node::new(&["sim=1"]);
    node.kubelet.start();
    let agent = node.agent();
    node.has(SIM, 1, true).await;
    // All at once: no moment without a socket.
    node.kubelet.kill();
    node.kubelet.serve();
    node.has(SIM, 1, true).await;
    assert!(
        agent.log().contains("kubelet has a new socket"),
        "{}",
        agent.log()
    );
    agent.stop();
    node.daemon.stop();
}
