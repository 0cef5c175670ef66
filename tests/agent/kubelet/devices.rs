//! Each platform's devices are a resource, as many as the daemon says.

use std::collections::BTreeSet;

use stagepages_proto::v1::Platform;
use stagepages_tests::{Api, DaemonOptions, eventually};

use super::node::{Node, SIM};

#[tokio::test(flavor = "multi_thread")]
async fn each_platform_is_a_resource_with_the_devices_of_the_node() {
    let options = DaemonOptions::new().model("6.18");
    let wanted = ["sim=3", "kvm=2", "sev-snp=5", "tdx=4"];
    let mut node = Node::with(options, &wanted);
    node.kubelet.start();
    let agent = node.agent();
    let info = Api::unix(node.daemon.socket()).await.node_info().await;
    let mut resources = BTreeSet::new();
    for platform in &info.platforms {
        let word = platform
            .platform()
            .as_str_name()
            .trim_start_matches("PLATFORM_");
        let resource = format!("stagepages.dev/{}", word.to_lowercase().replace('_', "-"));
        let number = usize::try_from(platform.devices).unwrap();
        assert_ne!(number, 0, "{resource}");
        node.has(&resource, number, platform.available).await;
        resources.insert(resource);
    }
    assert_eq!(node.kubelet.resources(), resources);
    let confidential = info
        .platforms
        .iter()
        .filter(|it| it.confidential && it.available);
    assert_ne!(confidential.count(), 0, "the model has some");
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_without_devices_is_no_resource() {
    let mut node = Node::new(&["sim=1"]);
    node.kubelet.start();
    let agent = node.agent();
    node.has(SIM, 1, true).await;
    assert_eq!(node.kubelet.devices(SIM, true), ["sim-0"]);
    let info = Api::unix(node.daemon.socket()).await.node_info().await;
    let has = |it: &&stagepages_proto::v1::PlatformInfo| it.devices > 0;
    let with_devices = info.platforms.iter().filter(has);
    assert_eq!(node.kubelet.resources().len(), with_devices.count());
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_of_a_platform_that_the_node_lacks_are_unhealthy_with_the_way_out_in_the_log() {
    // A kernel without TDX.
    let options = DaemonOptions::new().model("6.11");
    let mut node = Node::with(options, &["tdx=2"]);
    let info = Api::unix(node.daemon.socket()).await.node_info().await;
    let mut platforms = info.platforms.iter();
    let tdx = platforms.find(|it| it.platform() == Platform::Tdx).unwrap();
    assert!(!tdx.available);
    let remedy = &tdx.checks.iter().find(|check| !check.ok).unwrap().remedy;
    node.kubelet.start();
    let agent = node.agent();
    node.has("stagepages.dev/tdx", 2, false).await;
    eventually("the way out", async || {
        agent.log().contains(remedy).then_some(())
    })
    .await;
    agent.stop();
    node.daemon.stop();
}
