//! The agent ends, is killed, and finds its socket gone.

use std::fs;

use super::node::{Node, SIM};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_was_killed_is_followed_by_one_that_takes_its_place() {
    let mut node = Node::new(&["sim=2"]);
    node.kubelet.start();
    for round in 0..4 {
        let agent = node.agent();
        node.has(SIM, 2, true).await;
        let socket = node.kubelet.socket_of(SIM);
        assert_eq!(node.kubelet.registrations(SIM), round + 1);
        agent.kill_9();
        node.has(SIM, 2, false).await;
        assert!(socket.exists(), "nobody removed it");
    }
    let agent = node.agent();
    node.has(SIM, 2, true).await;
    node.kubelet.admit("team", "vm", SIM, 1).await.unwrap();
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_ends_takes_its_socket_along() {
    let mut node = Node::new(&["sim=1"]);
    node.kubelet.start();
    let agent = node.agent();
    node.has(SIM, 1, true).await;
    let socket = node.kubelet.socket_of(SIM);
    agent.stop();
    assert!(!socket.exists());
    node.has(SIM, 1, false).await;
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_somebody_removes_is_made_again() {
    let mut node = Node::new(&["sim=1"]);
    node.kubelet.start();
    let agent = node.agent();
    node.has(SIM, 1, true).await;
    let socket = node.kubelet.socket_of(SIM);
    fs::remove_file(&socket).unwrap();
    stagepages_tests::eventually("another registration", async || {
        (node.kubelet.registrations(SIM) == 2).then_some(())
    })
    .await;
    node.has(SIM, 1, true).await;
    assert!(socket.exists());
    node.kubelet.admit("team", "vm", SIM, 1).await.unwrap();
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_socket_is_left_alone_and_told() {
    let mut node = Node::new(&["sim=1"]);
    node.kubelet.start();
    let path = node.kubelet.plugins().join("stagepages.dev-sim.sock");
    fs::write(&path, "mine").unwrap();
    let agent = node.agent();
    stagepages_tests::eventually("a word about it", async || {
        agent
            .log()
            .contains("is no socket; move it away")
            .then_some(())
    })
    .await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    fs::remove_file(&path).unwrap();
    node.has(SIM, 1, true).await;
    agent.stop();
    node.daemon.stop();
}
