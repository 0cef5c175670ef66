//! Kubelet's word on who has which device: the pod resources API on its socket, and nothing else of kubelet.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, transport::Server};

#[expect(
    unused_qualifications,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
mod v1 {
    include!("../../../client/agent/src/kubelet/gen/v1.rs");
}

use v1::{
    AllocatableResourcesRequest, AllocatableResourcesResponse, ContainerDevices,
    ContainerResources, GetPodResourcesRequest, GetPodResourcesResponse, ListPodResourcesRequest,
    ListPodResourcesResponse, PodResources,
    pod_resources_lister_server::{PodResourcesLister, PodResourcesListerServer},
};

/// Device by namespace and pod.
type Given = Arc<Mutex<BTreeMap<(String, String), String>>>;

/// The socket, and what is said on it.
#[derive(Debug)]
pub(super) struct Kubelet {
    given: Given,
    _server: AbortOnDropHandle<()>,
}

impl Kubelet {
    /// Serves below this directory.
    pub(super) fn start(dir: &Path) -> Self {
        let folder = dir.join("pod-resources");
        std::fs::create_dir_all(&folder).unwrap();
        let listener = UnixListener::bind(folder.join("kubelet.sock")).unwrap();
        let given = Given::default();
        let service = PodResourcesListerServer::new(Api(Arc::clone(&given)));
        let server = Server::builder()
            .add_service(service)
            .serve_with_incoming(UnixListenerStream::new(listener));
        Self {
            given,
            _server: AbortOnDropHandle::new(tokio::spawn(async move { server.await.unwrap() })),
        }
    }

    /// Gives a pod a device.
    pub(super) fn give(&self, namespace: &str, pod: &str, device: &str) {
        let key = (namespace.to_owned(), pod.to_owned());
        self.given.lock().unwrap().insert(key, device.to_owned());
    }

    /// Takes it away.
    pub(super) fn take(&self, namespace: &str, pod: &str) {
        let key = (namespace.to_owned(), pod.to_owned());
        self.given.lock().unwrap().remove(&key);
    }
}

struct Api(Given);

#[tonic::async_trait]
impl PodResourcesLister for Api {
    async fn list(
        &self,
        _request: Request<ListPodResourcesRequest>,
    ) -> Result<Response<ListPodResourcesResponse>, Status> {
        let given = self.0.lock().unwrap();
        let pods = given
            .iter()
            .map(|((namespace, name), device)| PodResources {
                name: name.clone(),
                namespace: namespace.clone(),
                containers: vec![ContainerResources {
                    name: "main".to_owned(),
                    devices: vec![ContainerDevices {
                        resource_name: format!(
                            "stagepages.dev/{}",
                            device.rsplit_once('-').unwrap().0
                        ),
                        device_ids: vec![device.clone()],
                    }],
                }],
            });
        Ok(Response::new(ListPodResourcesResponse {
            pod_resources: pods.collect(),
        }))
    }

    async fn get_allocatable_resources(
        &self,
        _request: Request<AllocatableResourcesRequest>,
    ) -> Result<Response<AllocatableResourcesResponse>, Status> {
        Err(Status::unimplemented("not of this kubelet"))
    }

    async fn get(
        &self,
        _request: Request<GetPodResourcesRequest>,
    ) -> Result<Response<GetPodResourcesResponse>, Status> {
        Err(Status::unimplemented("not of this kubelet"))
    }
}
