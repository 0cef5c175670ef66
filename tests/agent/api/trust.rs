//! The agent believes the API server that its CA vouches for, and no other.
//!
//! **Invariant:** a server that is not believed learns no token.

use std::sync::atomic::Ordering;

use stagepages_tests::{Authority, eventually};

use super::rig::{Rig, large, spec};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_ca_is_told_and_asked_again_until_it_is_the_right_one() {
    let mut rig = Rig::new().await;
    let Some(registry) = &rig.registry else {
        return;
    };
    let reference = registry.push("team/guest", &[("guest", &large(1))]);
    rig.pod("vm", "sim-0");
    rig.launch("it", &spec("sim", &reference));
    rig.api.again_under(&Authority::new("somebody else")).await;
    rig.begin();
    let log = || rig.agent.as_ref().unwrap().log();
    let line = eventually("the agent to say what is wrong", async || {
        let log = log();
        let line = log
            .lines()
            .find(|it| it.contains("the API server does not answer"));
        line.map(ToOwned::to_owned)
    })
    .await;
    let told = "invalid peer certificate: UnknownIssuer; whoever answers";
    assert!(line.contains(told) && line.contains("ca.crt"), "{line}");
    // It goes on trying, and keeps its token to itself.
    eventually("more attempts", async || {
        (rig.api.shared.manner.strangers.load(Ordering::SeqCst) > 6).then_some(())
    })
    .await;
    let said = log().matches("UnknownIssuer").count();
    assert!(said <= 3, "once for each kind that is watched:\n{}", log());
    assert_eq!(rig.status("it"), serde_json::Value::Null);
    rig.api.again().await;
    rig.until_reason("it", "Finished", "FINISHED").await;
}
