//! What the agent tells probes.

use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use super::node::{Node, SIM};
use crate::probe::{address, becomes, check, connect};

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_told_whether_kubelet_knows_the_devices() {
    let mut node = Node::new(&["sim=1"]);
    let address = address();
    let agent = node.agent_with(&[("HEALTH_LISTEN", &format!("tcp:{address}"))]);
    let channel = connect(&address).await;
    assert_eq!(check(&channel, "").await, Ok(ServingStatus::Serving));
    becomes(&channel, "devices", ServingStatus::NotServing).await;
    assert_eq!(check(&channel, "nothing").await, Err(Code::NotFound));
    node.kubelet.start();
    node.has(SIM, 1, true).await;
    becomes(&channel, "devices", ServingStatus::Serving).await;
    node.kubelet.kill();
    std::fs::remove_file(node.kubelet.plugins().join("kubelet.sock")).unwrap();
    becomes(&channel, "devices", ServingStatus::NotServing).await;
    assert_eq!(check(&channel, "").await, Ok(ServingStatus::Serving));
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_devices_is_served_and_has_none() {
    let node = Node::new(&[]);
    let address = address();
    let agent = node.agent_with(&[("HEALTH_LISTEN", &format!("tcp:{address}"))]);
    let channel = connect(&address).await;
    becomes(&channel, "devices", ServingStatus::Serving).await;
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_keep_probes_out_for_ever() {
    /// Connections that are served at one time.
    const MOST: usize = 32;

    let node = Node::new(&["sim=1"]);
    let address = address();
    let agent = node.agent_with(&[("HEALTH_LISTEN", &format!("tcp:{address}"))]);
    let channel = connect(&address).await;
    assert_eq!(check(&channel, "").await, Ok(ServingStatus::Serving));
    let mut idle = Vec::new();
    for _ in 0..MOST + 8 {
        idle.push(tokio::net::TcpStream::connect(&address).await.unwrap());
    }
    // Who is in stays in.
    assert_eq!(check(&channel, "").await, Ok(ServingStatus::Serving));
    drop(idle);
    let next = connect(&address).await;
    assert_eq!(check(&next, "").await, Ok(ServingStatus::Serving));
    agent.stop();
    node.daemon.stop();
}
