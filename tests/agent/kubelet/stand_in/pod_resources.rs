//! Who was given what, as kubelet tells it.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};

use super::{
    Shared,
    api::v1::{
        AllocatableResourcesRequest, AllocatableResourcesResponse, ContainerDevices,
        ContainerResources, GetPodResourcesRequest, GetPodResourcesResponse,
        ListPodResourcesRequest, ListPodResourcesResponse, PodResources,
        pod_resources_lister_server::PodResourcesLister,
    },
    locked,
};

/// The service on pod-resources/kubelet.sock.
#[derive(Debug)]
pub(super) struct PodResourcesApi {
    pub(super) state: Shared,
}

impl PodResourcesApi {
    fn pods(&self) -> Vec<PodResources> {
        let state = locked(&self.state);
        let mut pods: BTreeMap<(&str, &str), PodResources> = BTreeMap::new();
        for (((namespace, pod, container), resource), ids) in &state.given {
            let entry = pods
                .entry((namespace, pod))
                .or_insert_with(|| PodResources {
                    name: pod.clone(),
                    namespace: namespace.clone(),
                    containers: Vec::new(),
                });
            entry.containers.push(ContainerResources {
                name: container.clone(),
                // One entry a device, as kubelet does where devices lie on several NUMA nodes.
                devices: ids
                    .iter()
                    .map(|id| ContainerDevices {
                        resource_name: resource.clone(),
                        device_ids: vec![id.clone()],
                    })
                    .collect(),
            });
        }
        pods.into_values().collect()
    }
}

#[tonic::async_trait]
impl PodResourcesLister for PodResourcesApi {
    async fn list(
        &self,
        _request: Request<ListPodResourcesRequest>,
    ) -> Result<Response<ListPodResourcesResponse>, Status> {
        Ok(Response::new(ListPodResourcesResponse {
            pod_resources: self.pods(),
        }))
    }

    async fn get_allocatable_resources(
        &self,
        _request: Request<AllocatableResourcesRequest>,
    ) -> Result<Response<AllocatableResourcesResponse>, Status> {
        let state = locked(&self.state);
        let devices = state
            .plugins
            .iter()
            .map(|(resource, plugin)| ContainerDevices {
                resource_name: resource.clone(),
                device_ids: plugin.devices.keys().cloned().collect(),
            });
        Ok(Response::new(AllocatableResourcesResponse {
            devices: devices.collect(),
        }))
    }

    async fn get(
        &self,
        _request: Request<GetPodResourcesRequest>,
    ) -> Result<Response<GetPodResourcesResponse>, Status> {
        Err(Status::unknown("PodResources API Get method disabled"))
    }
}
