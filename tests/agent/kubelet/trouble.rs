//! A kubelet that hangs, refuses, or does not watch.

use stagepages_tests::eventually;

use super::{
    node::{Node, SIM},
    stand_in::Manner,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_hangs_is_asked_again() {
    let mut node = Node::new(&["sim=1"]);
    node.kubelet.behave(Manner::Hanging);
    node.kubelet.start();
    let agent = node.agent();
    eventually("a word about it", async || {
        agent
            .log()
            .contains("has not answered Register on")
            .then_some(())
    })
    .await;
    node.kubelet.behave(Manner::Normal);
    node.has(SIM, 1, true).await;
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_ends_at_once_though_kubelet_hangs() {
    let mut node = Node::new(&["sim=1"]);
    node.kubelet.behave(Manner::Hanging);
    node.kubelet.start();
    let agent = node.agent();
    eventually("a call that hangs", async || {
        (node.kubelet.registrations(SIM) == 1).then_some(())
    })
    .await;
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_refuses_is_told_of_once_with_its_words() {
    let mut node = Node::new(&["sim=1"]);
    node.kubelet.behave(Manner::Refusing);
    node.kubelet.start();
    let agent = node.agent();
    eventually("three attempts", async || {
        (node.kubelet.registrations(SIM) >= 3).then_some(())
    })
    .await;
    let log = agent.log();
    let refusal = "kubelet refused stagepages.dev/sim";
    assert_eq!(log.matches(refusal).count(), 1, "{log}");
    for part in ["Supported version is", "the agent speaks v1beta1"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    node.kubelet.behave(Manner::Normal);
    node.has(SIM, 1, true).await;
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_watches_no_more_is_told_once_more() {
    let mut node = Node::new(&["sim=1"]);
    node.kubelet.start();
    let agent = node.agent();
    node.has(SIM, 1, true).await;
    node.kubelet.stop_watching();
    node.has(SIM, 1, false).await;
    node.has(SIM, 1, true).await;
    assert_eq!(node.kubelet.registrations(SIM), 2);
    let log = agent.log();
    assert!(log.contains("kubelet does not watch the devices"), "{log}");
    agent.stop();
    node.daemon.stop();
}
