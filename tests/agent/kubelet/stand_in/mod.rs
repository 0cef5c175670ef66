//! A kubelet, as far as device plugins and pod resources go: the real protocols over sockets in a directory of its own.
//!
//! It does as kubelet's device manager does: at its start it removes every socket in device-plugins/; it connects back before it answers
//! Register; a stream that ends makes all devices of the resource unhealthy until the plugin registers once more; what was allocated is
//! remembered over restarts, and told by PodResourcesLister.
//!
//! **Invariant:** it connects to what is registered and to nothing else, and never calls what the options do not allow.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::{net::UnixListener, task::JoinHandle};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, transport::Server};

pub(crate) mod api;
mod pod_resources;
mod registration;

use api::{
    v1::pod_resources_lister_server::PodResourcesListerServer,
    v1beta1::{
        AllocateRequest, ContainerAllocateRequest, ContainerAllocateResponse,
        registration_server::RegistrationServer,
    },
};
use pod_resources::PodResourcesApi;
use registration::{RegistrationApi, plugin_client};

/// How Register is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As kubelet does.
    #[default]
    Normal,
    /// As one that speaks another version.
    Refusing,
    /// Never.
    Hanging,
}

/// A registered plugin.
#[derive(Debug, Clone, Default)]
struct Plugin {
    socket: PathBuf,
    /// Which of its registrations this is.
    generation: u32,
    /// Whether each is healthy, as it was said last; empty before that.
    devices: BTreeMap<String, bool>,
    /// Ends its stream.
    watching: CancellationToken,
}

/// A container of a pod.
type Container = (String, String, String);

#[derive(Debug, Default)]
struct State {
    manner: Manner,
    /// Calls of Register, whatever came of them, by resource.
    registrations: BTreeMap<String, u32>,
    plugins: BTreeMap<String, Plugin>,
    /// The checkpoint: by container and resource.
    given: BTreeMap<(Container, String), BTreeSet<String>>,
}

type Shared = Arc<Mutex<State>>;

fn locked(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().unwrap()
}

/// A kubelet. One that is not up has its directories and what it remembers, and nothing else.
#[derive(Debug)]
pub(crate) struct Kubelet {
    dir: PathBuf,
    state: Shared,
    up: Option<(CancellationToken, Vec<JoinHandle<()>>)>,
}

impl Kubelet {
    /// One that has not started, in `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        for part in ["device-plugins", "pod-resources"] {
            fs::create_dir_all(dir.join(part)).unwrap();
        }
        Self {
            dir: dir.to_owned(),
            state: Shared::default(),
            up: None,
        }
    }

    /// What the agent is given as KUBELET_DIR.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where plugins have their sockets.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.dir.join("device-plugins")
    }

    /// Starts, or starts again: sockets in its directory are removed, and plugins have to register once more.
    pub(crate) fn start(&mut self) {
        self.kill();
        for entry in fs::read_dir(self.plugins()).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_socket() {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        self.serve();
    }

    /// Ends without a word, and leaves its sockets.
    pub(crate) fn kill(&mut self) {
        if let Some((stop, tasks)) = self.up.take() {
            stop.cancel();
            tasks.iter().for_each(JoinHandle::abort);
        }
        locked(&self.state).plugins.clear();
    }

    /// Makes its sockets anew, whatever else lies there.
    pub(crate) fn serve(&mut self) {
        let stop = CancellationToken::new();
        let registration = RegistrationApi {
            dir: self.plugins(),
            state: Arc::clone(&self.state),
            stop: stop.clone(),
        };
        let resources = PodResourcesApi {
            state: Arc::clone(&self.state),
        };
        let devices = bind(&self.plugins().join("kubelet.sock"));
        let pods = bind(&self.dir.join("pod-resources/kubelet.sock"));
        let devices = Server::builder()
            .add_service(RegistrationServer::new(registration))
            .serve_with_incoming(devices);
        let pods = Server::builder()
            .add_service(PodResourcesListerServer::new(resources))
            .serve_with_incoming(pods);
        let tasks = vec![
            tokio::spawn(async { devices.await.unwrap() }),
            tokio::spawn(async { pods.await.unwrap() }),
        ];
        self.up = Some((stop, tasks));
    }

    /// Answers Register so from now on.
    pub(crate) fn behave(&self, manner: Manner) {
        locked(&self.state).manner = manner;
    }

    /// Closes its ends of all streams, and lives on, as after an error of its own.
    pub(crate) fn stop_watching(&self) {
        let mut state = locked(&self.state);
        for plugin in state.plugins.values_mut() {
            plugin
                .devices
                .values_mut()
                .for_each(|healthy| *healthy = false);
            plugin.watching.cancel();
        }
    }

    /// How often Register was called for a resource.
    pub(crate) fn registrations(&self, resource: &str) -> u32 {
        let state = locked(&self.state);
        state.registrations.get(resource).copied().unwrap_or(0)
    }

    /// Resources whose plugins have told of their devices.
    pub(crate) fn resources(&self) -> BTreeSet<String> {
        let state = locked(&self.state);
        let told = state
            .plugins
            .iter()
            .filter(|(_, it)| !it.devices.is_empty());
        told.map(|(resource, _)| resource.clone()).collect()
    }

    /// Devices of a resource that are as healthy as asked for.
    pub(crate) fn devices(&self, resource: &str, healthy: bool) -> Vec<String> {
        let state = locked(&self.state);
        let devices = state.plugins.get(resource).map(|it| it.devices.clone());
        let devices = devices.unwrap_or_default().into_iter();
        devices
            .filter(|(_, it)| *it == healthy)
            .map(|(id, _)| id)
            .collect()
    }

    /// The socket that a resource's plugin registered.
    pub(crate) fn socket_of(&self, resource: &str) -> PathBuf {
        locked(&self.state).plugins[resource].socket.clone()
    }

    /// Gives `number` devices to the container `main` of a pod, as at its admission.
    pub(crate) async fn admit(
        &self,
        namespace: &str,
        pod: &str,
        resource: &str,
        number: usize,
    ) -> Result<ContainerAllocateResponse, Status> {
        let free: Vec<String> = {
            let state = locked(&self.state);
            let mine = state.given.iter().filter(|((_, it), _)| it == resource);
            let taken: BTreeSet<&String> = mine.flat_map(|(_, ids)| ids).collect();
            let plugin = state.plugins.get(resource);
            let devices = plugin.into_iter().flat_map(|it| &it.devices);
            let free = devices.filter(|(id, healthy)| **healthy && !taken.contains(id));
            free.map(|(id, _)| id.clone()).take(number).collect()
        };
        if free.len() < number {
            return Err(Status::resource_exhausted(format!(
                "Insufficient {resource}"
            )));
        }
        let response = self.allocate(resource, &free).await?;
        let container = (namespace.to_owned(), pod.to_owned(), "main".to_owned());
        let given = free.into_iter().collect();
        locked(&self.state)
            .given
            .insert((container, resource.to_owned()), given);
        Ok(response)
    }

    /// Calls Allocate with these ids, whatever they are.
    pub(crate) async fn allocate(
        &self,
        resource: &str,
        ids: &[String],
    ) -> Result<ContainerAllocateResponse, Status> {
        let socket = self.socket_of(resource);
        let mut client = plugin_client(&socket)
            .await
            .ok_or_else(|| Status::unavailable(format!("{resource} does not listen")))?;
        let request = AllocateRequest {
            container_requests: vec![ContainerAllocateRequest {
                devices_ids: ids.to_vec(),
            }],
        };
        let mut response = client.allocate(request).await?.into_inner();
        assert_eq!(response.container_responses.len(), 1, "{response:?}");
        Ok(response.container_responses.remove(0))
    }

    /// Takes back what a pod was given: it is gone.
    pub(crate) fn forget(&self, namespace: &str, pod: &str) {
        locked(&self.state)
            .given
            .retain(|((its, name, _), _), _| its != namespace || name != pod);
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Listens at `path`, whatever socket lies there. By renaming, so that there is always one.
fn bind(path: &Path) -> UnixListenerStream {
    let aside = path.with_extension("new");
    let listener = UnixListener::bind(&aside).unwrap();
    fs::rename(&aside, path).unwrap();
    UnixListenerStream::new(listener)
}
