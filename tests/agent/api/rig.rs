//! One node with all that an agent needs: API server, kubelet, registry, daemon.

use std::{collections::HashMap, path::PathBuf};

use serde_json::{Value, json};
use stagepages_proto::v1::{Launch, ListLaunchesRequest};
use stagepages_tests::{Api, Daemon, DaemonOptions, LONG, eventually};
use tempfile::TempDir;

pub(super) use super::guests::{guest, large};
use super::{
    pod_resources::Kubelet,
    registry::Registry,
    stand_in::{ApiServer, LAUNCHES, NODES, PODS, User},
};
use crate::process::Agent;

/// The node.
pub(super) const NODE: &str = "node-1";
/// The namespace of everything.
pub(super) const SPACE: &str = "team";
/// Of the agent's service account.
const TOKEN: &str = "token-of-the-agent";
/// Devices of the daemon, in the words of its configuration, and their ids.
const DEVICES: [(&str, u32); 2] = [("kvm", 2), ("sim", 8)];

/// All of it.
pub(super) struct Rig {
    /// Ends before the daemon, which otherwise finds a process that knows its directory.
    pub(super) agent: Option<Agent>,
    pub(super) api: ApiServer,
    pub(super) kubelet: Kubelet,
    pub(super) daemon: Daemon,
    pub(super) registry: Option<Registry>,
    plain: Vec<String>,
    more: Vec<(&'static str, String)>,
    pub(super) dir: TempDir,
}

impl Rig {
    /// All but the agent.
    pub(super) async fn new() -> Self {
        Self::with(DaemonOptions::new()).await
    }

    /// The same, of a daemon with more options.
    pub(super) async fn with(options: DaemonOptions) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("spa")
            .tempdir_in("/tmp")
            .unwrap();
        let devices = DEVICES.map(|(platform, count)| format!("{platform}={count}"));
        let options = options
            .without_tcp()
            .config(&format!("device_dir = {:?}", dir.path().join("devices")))
            .config(&format!("devices = {devices:?}"));
        let daemon = Daemon::start(&options);
        let registry = Registry::start(dir.path()).await;
        let api = ApiServer::start().await;
        let node = json!({ "metadata": { "name": NODE, "labels": { "pool": "a" } } });
        api.create(NODES, "", node).unwrap();
        api.admit(TOKEN, User::agent(NODE).bounded());
        api.write_config(dir.path(), TOKEN);
        Self {
            api,
            kubelet: Kubelet::start(&dir.path().join("kubelet")),
            daemon,
            plain: registry.iter().map(Registry::host).collect(),
            registry,
            agent: None,
            more: Vec::new(),
            dir,
        }
    }

    /// All of it, the agent too; `None` without a registry.
    pub(super) async fn running() -> Option<Self> {
        let mut rig = Self::new().await;
        rig.registry.as_ref()?;
        rig.begin();
        Some(rig)
    }

    /// Another registry that is spoken to without TLS.
    pub(super) fn trust(&mut self, host: &str) {
        self.plain.push(host.to_owned());
    }

    /// Names none any more; which it was that was named last.
    pub(super) fn distrust(&mut self) -> String {
        std::mem::take(&mut self.plain).pop().unwrap()
    }

    /// Gives the agents that are started from now on another variable.
    pub(super) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.more.push((name, value.into()));
    }

    /// Starts an agent.
    pub(super) fn begin(&mut self) {
        let path = |name: &str| self.dir.path().join(name).to_str().unwrap().to_owned();
        let endpoint = format!("unix:{}", self.daemon.socket().display());
        let variables = [
            ("NODE_NAME", NODE.to_owned()),
            ("STAGEPAGES_ENDPOINT", endpoint),
            ("STAGEPAGES_DEVICE_DIR", path("devices")),
            ("KUBELET_DIR", path("kubelet")),
            ("CACHE_DIR", path("cache")),
            ("KUBECONFIG", path("kubeconfig")),
            ("REGISTRY_PLAIN_HTTP", self.plain.join(",")),
            ("REGISTRY_TIMEOUT", "2".to_owned()),
        ];
        let variables: Vec<_> = variables
            .iter()
            .chain(&self.more)
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let none: [&str; 0] = [];
        self.agent = Some(Agent::start(self.dir.path(), none, &variables));
    }

    /// Kills the agent, as the kernel would.
    pub(super) fn kill(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.signal(nix::sys::signal::Signal::SIGKILL);
            agent.wait();
        }
    }

    /// Where pulled files are.
    pub(super) fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// A pod on this node that was given `device`.
    pub(super) fn pod(&self, name: &str, device: &str) {
        self.pod_without_device(name, device.rsplit_once('-').unwrap().0);
        self.kubelet.give(SPACE, name, device);
    }

    /// A pod that kubelet has not admitted.
    pub(super) fn pod_without_device(&self, name: &str, platform: &str) {
        let limits = json!({ format!("stagepages.dev/{platform}"): "1" });
        let pod = json!({
            "metadata": { "name": name },
            "spec": {
                "nodeName": NODE,
                "containers": [{ "name": "main", "resources": { "limits": limits } }],
            },
            "status": { "phase": "Running" },
        });
        self.api.create(PODS, SPACE, pod).unwrap();
    }

    /// Pushes an image of one file to the registry, and returns its pinned reference.
    pub(super) fn push(&self, file: &[u8]) -> String {
        let registry = self.registry.as_ref().unwrap();
        registry.push("team/guest", &[("guest", file)])
    }

    /// The same; `None` without a registry.
    pub(super) fn try_push(&self, file: &[u8]) -> Option<String> {
        self.registry.is_some().then(|| self.push(file))
    }

    /// A launch for a pod.
    pub(super) fn launch(&self, name: &str, spec: &Value) {
        let launch = json!({ "metadata": { "name": name }, "spec": spec });
        self.api.create(LAUNCHES, SPACE, launch).unwrap();
    }

    /// A launch of this guest for the Pod `vm`, which has a device of `kvm`; it is to be started.
    pub(super) fn launch_guest(&self, name: &str, guest: &[u8]) {
        let mut spec = spec("kvm", &self.push(guest));
        spec["start"] = json!(true);
        self.pod("vm", "kvm-0");
        self.launch(name, &spec);
    }

    /// A launch of this image in a Pod of its own, which has a device of `sim`; both have the name that is returned.
    pub(super) fn launch_apart(&self, nth: usize, reference: &str) -> String {
        let name = format!("vm-{nth}");
        let mut spec = spec("sim", reference);
        spec["podName"] = json!(name);
        self.pod(&name, &format!("sim-{nth}"));
        self.launch(&name, &spec);
        name
    }

    /// What is said of a launch.
    pub(super) fn status(&self, name: &str) -> Value {
        let launch = self.api.get(LAUNCHES, SPACE, name);
        launch.map_or(Value::Null, |it| it["status"].clone())
    }

    /// Waits until something holds of it.
    pub(super) async fn until(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let held = eventually(what, async || {
            let status = self.status(name);
            holds(&status).then_some(status)
        });
        match tokio::time::timeout(LONG * 9 / 10, held).await {
            Ok(status) => status,
            Err(_late) => panic!("{name} is not {what}: {:#}", self.status(name)),
        }
    }

    /// Deletes it, and waits until it is gone.
    pub(super) async fn until_gone(&self, name: &str) {
        self.api.delete(LAUNCHES, SPACE, name);
        eventually("the object to go", async || {
            self.api.get(LAUNCHES, SPACE, name).is_none().then_some(())
        })
        .await;
    }

    /// Waits until all these Events were told of it.
    pub(super) async fn until_told(&self, name: &str, reasons: &[&str]) {
        eventually(&format!("{reasons:?} of {name}"), async || {
            let told = self.api.told(name);
            let is_told = |reason: &&str| told.iter().any(|it| it == reason);
            reasons.iter().all(is_told).then_some(())
        })
        .await;
    }

    /// Waits for its state.
    pub(super) async fn until_state(&self, name: &str, state: &str) -> Value {
        self.until(name, state, |it| it["state"] == state).await
    }

    /// Waits for a condition's reason.
    pub(super) async fn until_reason(&self, name: &str, kind: &str, reason: &str) -> Value {
        let what = format!("{kind} for {reason}");
        self.until(name, &what, |it| condition(it, kind)["reason"] == reason)
            .await
    }

    /// The daemon, as the tenant of a device.
    pub(super) async fn device(&self, device: &str) -> Api {
        let socket = format!("devices/{device}/api.sock");
        Api::unix(&self.dir.path().join(socket)).await
    }

    /// The only launch there is, as the daemon says it.
    pub(super) async fn only_launch(&self) -> Launch {
        let mut launches = self.launches().await;
        assert_eq!(launches.len(), 1, "{launches:?}");
        launches.remove(0)
    }

    /// All launches of all devices, each seen through its own socket.
    pub(super) async fn launches(&self) -> Vec<Launch> {
        let mut all = Vec::new();
        for (platform, count) in DEVICES {
            for number in 0..count {
                let api = self.device(&format!("{platform}-{number}")).await;
                let mut launches = api.launches.clone();
                let answer = launches.list_launches(ListLaunchesRequest::default());
                all.extend(answer.await.unwrap().into_inner().launches);
            }
        }
        all
    }
}

/// Ends are told whole, with what ended them, and once.
fn ends_are_whole(api: &ApiServer) {
    let mut ended: HashMap<String, Value> = HashMap::new();
    for launch in api.all(LAUNCHES) {
        let status = &launch["status"];
        let uid = launch["metadata"]["uid"].as_str().unwrap();
        if let Some(before) = ended.get(uid) {
            assert_eq!(status["state"], *before, "over twice: {launch:#}");
        }
        let state = status["state"].as_str().unwrap_or_default();
        if !["STOPPED", "ABORTED", "FAILED"].contains(&state) {
            continue;
        }
        ended.insert(uid.to_owned(), state.into());
        assert_ne!(condition(status, "Running")["status"], "True", "{launch:#}");
        let is_failed = condition(status, "Failed")["status"] == "True";
        assert!(is_failed || state == "STOPPED", "{launch:#}");
    }
}

impl Drop for Rig {
    /// The agent asks for nothing that it may not have: it would be refused in a cluster, however often it tried.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let denials = self.api.shared.manner.denials.lock().unwrap();
        assert!(denials.is_empty(), "{denials:#?}");
        ends_are_whole(&self.api);
    }
}

/// What is asked for of a launch in the Pod `vm`.
pub(super) fn spec(platform: &str, reference: &str) -> Value {
    json!({ "podName": "vm", "platform": platform, "image": { "ref": reference } })
}

/// The reason and the message of a condition.
pub(super) fn said(status: &Value, kind: &str) -> (String, String) {
    let condition = condition(status, kind);
    let text = |of: &str| condition[of].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

/// One condition.
pub(super) fn condition(status: &Value, kind: &str) -> Value {
    let all = status["conditions"].as_array();
    let found = all.into_iter().flatten().find(|it| it["type"] == kind);
    found.cloned().unwrap_or(Value::Null)
}
