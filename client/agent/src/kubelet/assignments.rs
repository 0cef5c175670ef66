//! Which pod was given which device: kubelet alone knows, for it chose.
//!
//! **Invariant:** nothing is remembered. A pod's name is used again, and what kubelet says now is what holds now; a caller that has to be
//! sure asks again after it has looked at the pod.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use super::{
    api::v1::{
        ListPodResourcesRequest, ListPodResourcesResponse,
        pod_resources_lister_client::PodResourcesListerClient,
    },
    channel::{chain, connect, timed_out},
    device::{DeviceId, platform_of},
};
use crate::cli::Settings;

/// For an answer, the connection included.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is taken, as kubelet's own clients take it.
const MAX_ANSWER: usize = 16 << 20;

/// Kubelet does not say who has what.
#[derive(Debug, thiserror::Error)]
pub enum AssignmentError {
    /// Nobody listens.
    #[error(
        "kubelet's pod resources socket {} cannot be reached: {why}; is KUBELET_DIR's pod-resources/ mounted, and kubelet running?", socket.display()
    )]
    Connect {
        /// Where.
        socket: PathBuf,
        /// What the system said.
        why: String,
    },
    /// Kubelet refused.
    #[error("kubelet does not list the resources of pods: {0:?}")]
    Refused(String),
    /// Nobody answers.
    #[error("kubelet has not listed the resources of pods within {PATIENCE:?}")]
    Silent,
}

/// A pod, as kubelet names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Asks kubelet who has what. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Assignments {
    socket: PathBuf,
}

impl Assignments {
    /// Those of this node.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            socket: settings.kubelet_dir.join("pod-resources/kubelet.sock"),
        }
    }

    /// The device of `resource`, such as `stagepages.dev/kvm`, that a pod was given; the one with the lowest number if it has several. `None`
    /// until kubelet has admitted the pod.
    ///
    /// # Errors
    /// Kubelet does not say, or not in time.
    pub async fn device_of(
        &self,
        namespace: &str,
        pod: &str,
        resource: &str,
    ) -> Result<Option<DeviceId>, AssignmentError> {
        let Some(platform) = platform_of(resource) else {
            return Ok(None);
        };
        let devices = self.devices_of(namespace, pod).await?;
        Ok(devices.into_iter().find(|id| id.platform == platform))
    }

    /// All devices that a pod was given, of every platform.
    ///
    /// # Errors
    /// Kubelet does not say, or not in time.
    pub async fn devices_of(
        &self,
        namespace: &str,
        pod: &str,
    ) -> Result<BTreeSet<DeviceId>, AssignmentError> {
        let said = tokio::time::timeout(PATIENCE, self.list())
            .await
            .unwrap_or(Err(AssignmentError::Silent))?;
        Ok(devices(&said, namespace, pod))
    }

    /// The pod that has a device, if one has.
    ///
    /// # Errors
    /// Kubelet does not say, or not in time.
    pub async fn holder_of(&self, id: DeviceId) -> Result<Option<Holder>, AssignmentError> {
        let said = tokio::time::timeout(PATIENCE, self.list())
            .await
            .unwrap_or(Err(AssignmentError::Silent))?;
        let names = said.pod_resources.iter();
        let mut holders = names.filter(|it| devices(&said, &it.namespace, &it.name).contains(&id));
        Ok(holders.next().map(|it| Holder {
            namespace: it.namespace.clone(),
            name: it.name.clone(),
        }))
    }

    async fn list(&self) -> Result<ListPodResourcesResponse, AssignmentError> {
        let channel =
            connect(&self.socket, PATIENCE)
                .await
                .map_err(|error| AssignmentError::Connect {
                    socket: self.socket.clone(),
                    why: chain(&error),
                })?;
        let answer = PodResourcesListerClient::new(channel)
            .max_decoding_message_size(MAX_ANSWER)
            .list(ListPodResourcesRequest {})
            .await;
        match answer {
            Ok(said) => Ok(said.into_inner()),
            Err(status) if timed_out(&status) => Err(AssignmentError::Silent),
            Err(status) => Err(AssignmentError::Refused(
                status.message().chars().take(500).collect(),
            )),
        }
    }
}

fn devices(said: &ListPodResourcesResponse, namespace: &str, pod: &str) -> BTreeSet<DeviceId> {
    said.pod_resources
        .iter()
        .filter(|it| it.namespace == namespace && it.name == pod)
        .flat_map(|it| &it.containers)
        .flat_map(|container| &container.devices)
        .filter_map(|devices| Some((platform_of(&devices.resource_name)?, &devices.device_ids)))
        .flat_map(|(platform, ids)| ids.iter().map(move |id| (platform, id)))
        .filter_map(|(platform, id)| Some((platform, id.parse::<DeviceId>().ok()?)))
        .filter_map(|(platform, id)| (id.platform == platform).then_some(id))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::api::v1::{ContainerDevices, ContainerResources, PodResources};

    fn pod(namespace: &str, name: &str, given: &[(&str, &[&str])]) -> PodResources {
        let devices = given.iter().map(|(resource, ids)| ContainerDevices {
            resource_name: (*resource).to_owned(),
            device_ids: ids.iter().map(ToString::to_string).collect(),
        });
        PodResources {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            containers: vec![ContainerResources {
                name: "main".to_owned(),
                devices: devices.collect(),
            }],
        }
    }

    #[test]
    fn only_the_pod_that_is_meant_counts_and_only_what_is_ours() {
        let said = ListPodResourcesResponse {
            pod_resources: vec![
                pod("a", "vm", &[("stagepages.dev/kvm", &["kvm-1"])]),
                pod(
                    "b",
                    "vm",
                    &[
                        ("nvidia.com/gpu", &["kvm-7"]),
                        ("stagepages.dev/sim", &["sim-2", "sim-0"]),
                    ],
                ),
            ],
        };
        let of = |namespace| -> Vec<String> {
            devices(&said, namespace, "vm")
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(of("a"), ["kvm-1"]);
        assert_eq!(of("b"), ["sim-0", "sim-2"]);
        assert!(of("c").is_empty());
    }
}
