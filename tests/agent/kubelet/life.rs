//! The agent's own start and end.

use nix::sys::signal::Signal;

use crate::process::Agent;

#[test]
fn without_a_node_it_says_how_to_name_one() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Agent::start(dir.path(), ["--only-devices"], &[]);
    let log = dir.path().join("agent.log");
    assert_eq!(agent.wait().code(), Some(1));
    let said = std::fs::read_to_string(log).unwrap();
    assert!(
        said.contains("set NODE_NAME from the pod's spec.nodeName"),
        "{said}"
    );
}

#[test]
fn an_address_that_is_taken_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("tcp:{}", taken.local_addr().unwrap());
    let variables = [("NODE_NAME", "node-1"), ("HEALTH_LISTEN", &listen)];
    let agent = Agent::start(dir.path(), ["--only-devices"], &variables);
    let log = dir.path().join("agent.log");
    assert_eq!(agent.wait().code(), Some(1));
    let said = std::fs::read_to_string(log).unwrap();
    assert!(said.contains(&listen), "{said}");
}

#[tokio::test]
async fn sigterm_and_sigint_end_it_with_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let dir = tempfile::tempdir().unwrap();
        let agent = Agent::start(dir.path(), ["--only-devices"], &[("NODE_NAME", "node-1")]);
        let started = async || agent.log().contains("started").then_some(());
        stagepages_tests::eventually("the agent's start", started).await;
        agent.signal(signal);
        assert!(agent.wait().success());
    }
}
