//! A device whose daemon fails while it is emptied: it is given to nobody before it is empty.

use std::{fs, path::PathBuf};

use nix::sys::signal::{Signal, kill};
use stagepages_proto::v1::{ListLaunchesRequest, Platform};
use stagepages_tests::{Api, Faults, Proxy, eventually, halt, page, region, spec};
use tonic::Code;

use super::node::{Node, SIM};

/// The socket of the only device.
fn socket(node: &Node) -> PathBuf {
    node.device_dir().join("sim-0/api.sock")
}

/// Leaves a launch on the device, as a pod does that was killed.
async fn leave(node: &Node) {
    let spec = spec(Platform::Sim, [region(page(0), 1 << 20)]);
    let api = Api::unix(&socket(node)).await;
    api.create("secret", spec).await.unwrap();
}

/// How many launches are on the device.
async fn left(node: &Node) -> usize {
    let mut launches = Api::unix(&socket(node)).await.launches;
    let answer = launches.list_launches(ListLaunchesRequest::default());
    answer.await.unwrap().into_inner().launches.len()
}

/// The device behind a proxy with these faults, where the agent looks for it.
fn behind(node: &Node, faults: Faults) -> (PathBuf, Proxy) {
    let devices = node.device_dir().with_file_name("proxied");
    fs::create_dir_all(devices.join("sim-0")).unwrap();
    let proxy = Proxy::start(devices.join("sim-0/api.sock"), &socket(node), faults);
    (devices, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_while_a_device_is_emptied_is_made_again() {
    let mut faults_given = 0;
    for seed in 0..4 {
        let mut node = Node::new(&["sim=1"]);
        node.kubelet.start();
        leave(&node).await;
        let faults = Faults {
            count: 4,
            request_bytes: 400,
            seed,
        };
        let (devices, proxy) = behind(&node, faults);
        let agent = node.agent_with(&[("STAGEPAGES_DEVICE_DIR", devices.to_str().unwrap())]);
        node.has(SIM, 1, true).await;
        node.kubelet.admit("team", "b", SIM, 1).await.unwrap();
        assert_eq!(left(&node).await, 0, "it is empty when it is given");
        let (cuts, refusals) = proxy.given();
        faults_given += cuts + refusals;
        agent.stop();
        drop(proxy);
        node.daemon.stop();
    }
    assert_ne!(faults_given, 0, "some of it went wrong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_cannot_be_emptied_is_refused_and_given_when_it_can() {
    let mut node = Node::new(&["sim=1"]);
    node.kubelet.start();
    leave(&node).await;
    // Nobody listens in its directory.
    let (devices, proxy) = behind(&node, Faults::none());
    drop(proxy);
    let agent = node.agent_with(&[("STAGEPAGES_DEVICE_DIR", devices.to_str().unwrap())]);
    node.has(SIM, 1, true).await;
    let refused = node.kubelet.admit("team", "b", SIM, 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    for word in ["device sim-0 cannot be given away", "create the Pod again"] {
        assert!(refused.message().contains(word), "{word}: {refused}");
    }
    assert!(agent.log().contains("an allocation is refused"));
    let (_, proxy) = behind(&node, Faults::none());
    node.kubelet.admit("team", "b", SIM, 1).await.unwrap();
    assert_eq!(left(&node).await, 0);
    agent.stop();
    drop(proxy);
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_dies_while_a_device_is_emptied_empties_it_when_it_is_back() {
    let mut node = Node::new(&["sim=1"]);
    node.kubelet.start();
    let agent = node.agent();
    node.has(SIM, 1, true).await;
    for round in 0..4 {
        leave(&node).await;
        let pod = format!("pod-{round}");
        // The supervisor stands still: nobody is there until the agent has met that.
        halt(node.daemon.pid());
        let (given, ()) = tokio::join!(node.kubelet.admit("team", &pod, SIM, 1), async {
            tokio::task::block_in_place(|| node.daemon.kill_daemon());
            eventually("a word about it", async || {
                let log = agent.log();
                let told = log.matches("is not emptied yet").count()
                    + log.matches("devices are unhealthy").count();
                (told > round).then_some(())
            })
            .await;
            kill(node.daemon.pid(), Signal::SIGCONT).unwrap();
        });
        tokio::task::block_in_place(|| node.daemon.restarted());
        node.has(SIM, 1, true).await;
        match given {
            Ok(_) => assert_eq!(left(&node).await, 0, "it is empty when it is given"),
            // It was known before.
            Err(refused) => {
                assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
                assert!(refused.message().contains("unhealthy"), "{refused}");
                node.kubelet.admit("team", &pod, SIM, 1).await.unwrap();
                assert_eq!(left(&node).await, 0);
            }
        }
        node.kubelet.forget("team", &pod);
    }
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_on_which_a_launch_is_still_being_created_is_given_to_nobody() {
    let mut node = Node::new(&["sim=1"]);
    node.kubelet.start();
    let agent = node.agent();
    node.has(SIM, 1, true).await;
    // No host is started while the supervisor stands still; whoever asked for one leaves.
    halt(node.daemon.pid());
    let api = Api::unix(&socket(&node)).await;
    let launches = api.launches.clone();
    let asked = spec(Platform::Sim, [region(page(0), 1 << 20)]);
    let call = tokio::spawn(async move { api.create("secret", asked).await });
    eventually("the creation", async || {
        let request = ListLaunchesRequest::default();
        let listed = launches.clone().list_launches(request).await;
        (listed.unwrap().into_inner().unsettled_launches == 1).then_some(())
    })
    .await;
    call.abort();
    drop(call.await);
    let (given, ()) = tokio::join!(node.kubelet.admit("team", "b", SIM, 1), async {
        eventually("a word about it", async || {
            agent.log().contains("is not emptied yet").then_some(())
        })
        .await;
        kill(node.daemon.pid(), Signal::SIGCONT).unwrap();
    });
    given.unwrap();
    assert_eq!(left(&node).await, 0, "it is empty when it is given");
    agent.stop();
    node.daemon.stop();
}
