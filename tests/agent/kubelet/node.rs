//! One node: a daemon with devices, a kubelet, and agents.

use std::path::PathBuf;

use stagepages_tests::{Daemon, DaemonOptions, eventually};
use tempfile::TempDir;

use super::stand_in::Kubelet;
use crate::process::Agent;

/// The name of the only node.
pub(crate) const NODE: &str = "node-1";
/// The resource that each machine can have.
pub(crate) const SIM: &str = "stagepages.dev/sim";

/// A node whose parts are started and ended by the test.
pub(crate) struct Node {
    pub(crate) daemon: Daemon,
    pub(crate) kubelet: Kubelet,
    dir: TempDir,
}

impl Node {
    /// A daemon with `devices`, in the words of its configuration, and a kubelet that has not started.
    pub(crate) fn new(devices: &[&str]) -> Self {
        Self::with(DaemonOptions::new(), devices)
    }

    /// The same, of a daemon with more options.
    pub(crate) fn with(options: DaemonOptions, devices: &[&str]) -> Self {
        // Not TMPDIR, which can be long: the path of a Unix socket has room for 107 bytes.
        let dir = tempfile::Builder::new()
            .prefix("spn")
            .tempdir_in("/tmp")
            .unwrap();
        let options = options
            .config(&format!("device_dir = {:?}", dir.path().join("devices")))
            .config(&format!("devices = {devices:?}"));
        Self {
            daemon: Daemon::start(&options),
            kubelet: Kubelet::new(&dir.path().join("kubelet")),
            dir,
        }
    }

    /// Where the daemon's devices are.
    pub(crate) fn device_dir(&self) -> PathBuf {
        self.dir.path().join("devices")
    }

    /// An agent that serves devices alone.
    pub(crate) fn agent(&self) -> Agent {
        self.agent_with(&[])
    }

    /// The same with more variables.
    pub(crate) fn agent_with(&self, more: &[(&str, &str)]) -> Agent {
        let endpoint = format!("unix:{}", self.daemon.socket().display());
        let (devices, kubelet) = (self.device_dir(), self.kubelet.dir().to_owned());
        let mut variables = vec![
            ("NODE_NAME", NODE),
            ("STAGEPAGES_ENDPOINT", &endpoint),
            ("STAGEPAGES_DEVICE_DIR", devices.to_str().unwrap()),
            ("KUBELET_DIR", kubelet.to_str().unwrap()),
        ];
        variables.extend(more);
        Agent::start(self.dir.path(), ["--only-devices"], &variables)
    }

    /// Waits until so many devices of a resource are as healthy as asked for, and no others are there.
    pub(crate) async fn has(&self, resource: &str, number: usize, healthy: bool) {
        let what = format!("{number} devices of {resource}, healthy: {healthy}");
        eventually(&what, async || {
            let found = self.kubelet.devices(resource, healthy).len();
            let others = self.kubelet.devices(resource, !healthy).len();
            (found == number && others == 0).then_some(())
        })
        .await;
    }
}
