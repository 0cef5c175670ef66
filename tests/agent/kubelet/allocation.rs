//! What a container is given: one directory, with one socket, whose peers are that device.

use std::process::{Command, Output};

use stagepages_tests::{Api, binaries};
use tonic::Code;

use super::{
    node::{Node, SIM},
    stand_in::api::v1beta1::{ContainerAllocateResponse, Mount},
};

/// Runs `stagectl` as a container of another user would, with nothing of the node but what it was given: in a mount namespace with an empty
/// /run, and the mounts in it.
fn in_container(given: &ContainerAllocateResponse, arguments: &str) -> Output {
    use std::fmt::Write as _;

    let mut script = "set -e; mount -t tmpfs none /run".to_owned();
    for mount in &given.mounts {
        let (host, inside) = (&mount.host_path, &mount.container_path);
        // /run of the node is hidden already, but devices lie elsewhere.
        write!(script, "; mkdir -p {inside}; mount --bind {host} {inside}").unwrap();
        if mount.read_only {
            write!(script, "; mount -o remount,bind,ro {inside}").unwrap();
        }
    }
    // Somebody else's program, from a copy that others can reach.
    let stagectl = "setpriv --reuid=65534 --regid=65534 --clear-groups /run/stagectl";
    let copy = binaries().stagectl.display();
    write!(
        script,
        "; cp {copy} /run/stagectl; {}",
        arguments.replace("stagectl", stagectl)
    )
    .unwrap();
    Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .envs(&given.envs)
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_has_its_device_and_nothing_else() {
    let mut node = Node::new(&["sim=2"]);
    node.kubelet.start();
    let agent = node.agent();
    node.has(SIM, 2, true).await;

    let given = node.kubelet.admit("team", "vm", SIM, 1).await.unwrap();
    let mount = Mount {
        container_path: "/run/stagepages".to_owned(),
        host_path: node.device_dir().join("sim-0").display().to_string(),
        read_only: true,
    };
    assert_eq!(given.mounts, [mount]);
    assert!(given.devices.is_empty());
    assert_eq!(given.annotations["stagepages.dev/devices"], "sim-0");
    let inside: Vec<_> = std::fs::read_dir(&given.mounts[0].host_path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(inside, ["api.sock"]);

    let output = in_container(
        &given,
        "stagectl launch create vm --platform sim --memory 0x0+1M",
    );
    assert!(output.status.success(), "{output:?}");
    // Only this device knows of it.
    let device = Api::unix(&node.device_dir().join("sim-0/api.sock")).await;
    device.get("launches/vm").await.unwrap();
    let other = Api::unix(&node.device_dir().join("sim-1/api.sock")).await;
    assert_eq!(
        other.get("launches/vm").await.unwrap_err().code(),
        Code::NotFound
    );
    let log = audit(&node);
    assert!(log.contains("device:sim-0"), "{log}");
    // Its own, it can end; the socket, it cannot touch.
    let output = in_container(&given, "rm /run/stagepages/api.sock");
    assert!(!output.status.success() && node.device_dir().join("sim-0/api.sock").exists());
    let output = in_container(&given, "stagectl launch abort vm");
    assert!(output.status.success(), "{output:?}");
    agent.stop();
    node.daemon.stop();
}

/// All of the daemon's audit log.
fn audit(node: &Node) -> String {
    let dir = node.daemon.dir().join("state/audit");
    let files = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let contents = files
        .filter(|it| it.is_file())
        .map(|it| std::fs::read(it).unwrap());
    contents
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn several_devices_lie_beside_each_other() {
    let mut node = Node::new(&["sim=3"]);
    node.kubelet.start();
    let agent = node.agent();
    node.has(SIM, 3, true).await;
    let given = node.kubelet.admit("team", "vm", SIM, 2).await.unwrap();
    let mounts: Vec<_> = given
        .mounts
        .iter()
        .map(|it| it.container_path.as_str())
        .collect();
    assert_eq!(mounts, ["/run/stagepages/sim-0", "/run/stagepages/sim-1"]);
    let create = "launch create vm --platform sim --memory 0x0+1M";
    for endpoint in given.envs["STAGEPAGES_ENDPOINTS"].split(',') {
        let output = in_container(&given, &format!("stagectl --endpoint {endpoint} {create}"));
        assert!(output.status.success(), "{endpoint}: {output:?}");
    }
    for device in ["sim-0", "sim-1"] {
        let socket = node.device_dir().join(device).join("api.sock");
        Api::unix(&socket).await.get("launches/vm").await.unwrap();
    }
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_device_is_refused() {
    let mut node = Node::new(&["sim=1"]);
    node.kubelet.start();
    let agent = node.agent();
    node.has(SIM, 1, true).await;
    for (ids, code, says) in [
        (&["sim-1"][..], Code::NotFound, "this node has 1"),
        (&["kvm-0"], Code::NotFound, "none of stagepages.dev/sim"),
        (&["../sim-0"], Code::NotFound, "none of stagepages.dev/sim"),
        (&["sim-0", "sim-0"], Code::InvalidArgument, "twice"),
        (&[], Code::InvalidArgument, "devices_ids is empty"),
    ] {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let status = node.kubelet.allocate(SIM, &ids).await.unwrap_err();
        assert_eq!(status.code(), code, "{ids:?}: {status}");
        assert!(status.message().contains(says), "{ids:?}: {status}");
    }
    agent.stop();
    node.daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_pod_finds_nothing_of_the_last_one() {
    let mut node = Node::new(&["sim=1"]);
    node.kubelet.start();
    let agent = node.agent();
    node.has(SIM, 1, true).await;
    let create = "stagectl launch create vm --platform sim --memory 0x0+1M";
    let put = "file=$(mktemp) && echo secret >\"$file\" && chmod 644 \"$file\" && stagectl image push \"$file\" && rm \"$file\"";
    let first = node.kubelet.admit("team", "a", SIM, 1).await.unwrap();
    for command in [create, put] {
        let output = in_container(&first, command);
        assert!(output.status.success(), "{command}: {output:?}");
    }
    node.kubelet.forget("team", "a");
    let second = node.kubelet.admit("other", "b", SIM, 1).await.unwrap();
    assert_eq!(second.mounts, first.mounts, "the same device");
    for list in ["launch list", "image list"] {
        let output = in_container(&second, &format!("stagectl {list}"));
        let said = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(output.status.success(), "{list}: {output:?}");
        for left in ["vm", "sha256"] {
            assert!(!said.contains(left), "{list}: {said}");
        }
    }
    let output = in_container(&second, create);
    assert!(output.status.success(), "{output:?}");
    agent.stop();
    node.daemon.stop();
}
