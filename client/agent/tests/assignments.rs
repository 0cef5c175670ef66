//! Asking kubelet which pod has which device: over its socket, and when that is missing, hangs, or says no.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

use std::path::Path;

use stagepages_node_agent::{
    cli::{Cli, Settings},
    kubelet::{
        api::v1::{
            AllocatableResourcesRequest, AllocatableResourcesResponse, ContainerDevices,
            ContainerResources, GetPodResourcesRequest, GetPodResourcesResponse,
            ListPodResourcesRequest, ListPodResourcesResponse, PodResources,
            pod_resources_lister_server::{PodResourcesLister, PodResourcesListerServer},
        },
        assignments::Assignments,
    },
};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// Says this, or nothing ever.
struct Kubelet(Option<Result<Vec<PodResources>, Status>>);

#[tonic::async_trait]
impl PodResourcesLister for Kubelet {
    async fn list(
        &self,
        _request: Request<ListPodResourcesRequest>,
    ) -> Result<Response<ListPodResourcesResponse>, Status> {
        match self.0.clone() {
            None => std::future::pending().await,
            Some(said) => Ok(Response::new(ListPodResourcesResponse {
                pod_resources: said?,
            })),
        }
    }

    async fn get_allocatable_resources(
        &self,
        _request: Request<AllocatableResourcesRequest>,
    ) -> Result<Response<AllocatableResourcesResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn get(
        &self,
        _request: Request<GetPodResourcesRequest>,
    ) -> Result<Response<GetPodResourcesResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }
}

fn assignments(dir: &Path) -> Assignments {
    use clap::Parser as _;

    let kubelet = format!("--kubelet-dir={}", dir.display());
    let cli = Cli::parse_from(["agent", "--node-name=n", &kubelet]);
    Assignments::new(&Settings::try_from(cli.settings).unwrap())
}

fn serve(dir: &Path, said: Option<Result<Vec<PodResources>, Status>>) {
    let socket = dir.join("pod-resources/kubelet.sock");
    std::fs::create_dir(socket.parent().unwrap()).unwrap();
    let listener = UnixListenerStream::new(UnixListener::bind(socket).unwrap());
    let server = Server::builder()
        .add_service(PodResourcesListerServer::new(Kubelet(said)))
        .serve_with_incoming(listener);
    tokio::spawn(server);
}

#[tokio::test]
async fn a_pod_has_the_device_that_kubelet_names() {
    let dir = tempfile::tempdir().unwrap();
    let devices = ["kvm-3", "kvm-2"].map(|id| ContainerDevices {
        resource_name: "stagepages.dev/kvm".to_owned(),
        device_ids: vec![id.to_owned()],
    });
    let pod = PodResources {
        name: "vm".to_owned(),
        namespace: "team".to_owned(),
        containers: vec![ContainerResources {
            name: "main".to_owned(),
            devices: devices.to_vec(),
        }],
    };
    serve(dir.path(), Some(Ok(vec![pod])));
    let assignments = assignments(dir.path());
    let of = async |namespace, resource| {
        let device = assignments.device_of(namespace, "vm", resource).await;
        device.unwrap().map(|id| id.to_string())
    };
    let kvm = "stagepages.dev/kvm";
    assert_eq!(of("team", kvm).await.as_deref(), Some("kvm-2"));
    assert_eq!(of("other", kvm).await, None);
    assert_eq!(of("team", "stagepages.dev/sim").await, None);
    assert_eq!(of("team", "nvidia.com/gpu").await, None);
    let all = assignments.devices_of("team", "vm").await.unwrap();
    assert_eq!(all.len(), 2);
}

#[tokio::test]
async fn without_its_socket_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let asked = assignments(dir.path()).devices_of("team", "vm").await;
    let error = asked.unwrap_err().to_string();
    for part in [
        "pod-resources/kubelet.sock cannot be reached",
        "is KUBELET_DIR's",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_kubelets_words() {
    let dir = tempfile::tempdir().unwrap();
    serve(
        dir.path(),
        Some(Err(Status::unavailable("rejected by rate limit"))),
    );
    let asked = assignments(dir.path()).devices_of("team", "vm").await;
    let error = asked.unwrap_err().to_string();
    assert!(error.contains("rejected by rate limit"), "{error}");
}

#[tokio::test]
async fn a_kubelet_that_hangs_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    serve(dir.path(), None);
    let asked = assignments(dir.path()).devices_of("team", "vm").await;
    let error = asked.unwrap_err().to_string();
    assert!(error.contains("has not listed"), "{error}");
}
