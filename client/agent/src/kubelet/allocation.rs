//! What a container is started with so that it can use its devices.
//!
//! A container with one device finds the daemon at `/run/stagepages/api.sock`, where the client looks by itself. With several of one resource
//! each has a directory of its own below that, `/run/stagepages/<id>`; the variable then names the first, and another names all. Kubelet asks
//! for each resource apart and keeps the first mount at a path, so a container has devices of one resource only.
//!
//! The directory is mounted, not the socket: the next daemon makes the socket anew, and a mounted file would stay the old one. It is mounted
//! read-only, which does not keep anybody from connecting to a socket (Linux asks `sb_rdonly` of files, directories and links alone:
//! fs/namei.c, `sb_permission`), but from removing it or putting another in its place.
//!
//! **Invariant:** nothing is mounted but directories of the devices that were asked for; the main socket lies in none of them.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use stagepages_client::v1::Platform;
use tonic::Status;

use super::{
    api::v1beta1::{ContainerAllocateResponse, Mount},
    device::{DeviceId, resource_name},
    inventory::Inventory,
};

/// Where a container finds its devices.
const INSIDE: &str = "/run/stagepages";
/// The socket in each device's directory.
const SOCKET: &str = "api.sock";
/// Where the client library looks.
const ENDPOINT: &str = "STAGEPAGES_ENDPOINT";
/// All endpoints of a container with several devices, separated by commas.
const ENDPOINTS: &str = "STAGEPAGES_ENDPOINTS";
/// For the container runtime, and for whoever reads its state: which devices.
const ANNOTATION: &str = "stagepages.dev/devices";

/// The devices of one container, if all of them can be given.
///
/// # Errors
/// One is none of this platform's, is asked for twice, or is unhealthy.
pub fn chosen(
    platform: Platform,
    inventory: &Inventory,
    asked: &[String],
) -> Result<BTreeSet<DeviceId>, Status> {
    let mut chosen = BTreeSet::new();
    for text in asked {
        let id = known(platform, inventory, text)?;
        if !chosen.insert(id) {
            return Err(Status::invalid_argument(format!(
                "device {id} is asked for twice; one container has a device once"
            )));
        }
    }
    if chosen.is_empty() {
        return Err(Status::invalid_argument(format!(
            "devices_ids is empty; a container asks for at least one {}",
            resource_name(platform)
        )));
    }
    Ok(chosen)
}

fn known(platform: Platform, inventory: &Inventory, text: &str) -> Result<DeviceId, Status> {
    let offer = inventory.of(platform);
    let count = offer.map_or(0, |offer| offer.count);
    let device = text
        .parse::<DeviceId>()
        .ok()
        .filter(|id| id.platform == platform && id.number < count);
    let Some((id, offer)) = device.zip(offer) else {
        let text: String = text.chars().take(64).collect();
        return Err(Status::not_found(format!(
            "device {text:?} is none of {}; this node has {count}, numbered from 0, see ListAndWatch",
            resource_name(platform)
        )));
    };
    match offer.ails(id.number) {
        None => Ok(id),
        Some(problem) => Err(Status::failed_precondition(format!(
            "device {id} is unhealthy: {problem}"
        ))),
    }
}

/// What a container with these devices is started with.
#[must_use]
pub fn container(device_dir: &Path, devices: &BTreeSet<DeviceId>) -> ContainerAllocateResponse {
    let alone = devices.len() == 1;
    let inside = |id: &DeviceId| match alone {
        true => INSIDE.to_owned(),
        false => format!("{INSIDE}/{id}"),
    };
    let mount = |id: &DeviceId| Mount {
        container_path: inside(id),
        host_path: device_dir.join(id.to_string()).display().to_string(),
        read_only: true,
    };
    let endpoints: Vec<String> = devices
        .iter()
        .map(|id| format!("unix:{}/{SOCKET}", inside(id)))
        .collect();
    let names: Vec<String> = devices.iter().map(ToString::to_string).collect();
    let mut envs = HashMap::new();
    if let Some(first) = endpoints.first() {
        envs.insert(ENDPOINT.to_owned(), first.clone());
    }
    if !alone {
        envs.insert(ENDPOINTS.to_owned(), endpoints.join(","));
    }
    ContainerAllocateResponse {
        envs,
        mounts: devices.iter().map(mount).collect(),
        devices: Vec::new(),
        annotations: HashMap::from([(ANNOTATION.to_owned(), names.join(","))]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::inventory::Offer;

    fn inventory() -> Inventory {
        let kvm = Offer {
            count: 3,
            without_directory: BTreeSet::from([2]),
            ..Offer::default()
        };
        Inventory::default().renewed([(Platform::Kvm, kvm)])
    }

    fn asked(ids: &[&str]) -> Result<BTreeSet<DeviceId>, Status> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        chosen(Platform::Kvm, &inventory(), &ids)
    }

    #[test]
    fn one_device_is_one_mount_where_the_client_looks() {
        let response = container(Path::new("/run/devices"), &asked(&["kvm-1"]).unwrap());
        let mount = Mount {
            container_path: "/run/stagepages".to_owned(),
            host_path: "/run/devices/kvm-1".to_owned(),
            read_only: true,
        };
        assert_eq!(response.mounts, [mount]);
        assert_eq!(response.envs[ENDPOINT], "unix:/run/stagepages/api.sock");
        assert_eq!(response.envs.len(), 1);
        assert!(response.devices.is_empty());
    }

    #[test]
    fn several_devices_lie_beside_each_other() {
        let response = container(
            Path::new("/run/devices"),
            &asked(&["kvm-1", "kvm-0"]).unwrap(),
        );
        let inside: Vec<_> = response
            .mounts
            .iter()
            .map(|it| it.container_path.as_str())
            .collect();
        assert_eq!(inside, ["/run/stagepages/kvm-0", "/run/stagepages/kvm-1"]);
        assert_eq!(
            response.envs[ENDPOINT],
            "unix:/run/stagepages/kvm-0/api.sock"
        );
        assert_eq!(
            response.envs[ENDPOINTS],
            "unix:/run/stagepages/kvm-0/api.sock,unix:/run/stagepages/kvm-1/api.sock"
        );
    }

    #[test]
    fn what_is_not_there_is_refused() {
        for (ids, code, says) in [
            (&["kvm-3"][..], tonic::Code::NotFound, "\"kvm-3\""),
            (&["sim-0"], tonic::Code::NotFound, "stagepages.dev/kvm"),
            (&["../../etc"], tonic::Code::NotFound, "this node has 3"),
            (
                &["kvm-2"],
                tonic::Code::FailedPrecondition,
                "kvm-2 is unhealthy",
            ),
            (&["kvm-0", "kvm-0"], tonic::Code::InvalidArgument, "twice"),
            (&[], tonic::Code::InvalidArgument, "devices_ids is empty"),
        ] {
            let status = asked(ids).unwrap_err();
            assert_eq!(status.code(), code, "{ids:?}: {status}");
            assert!(status.message().contains(says), "{ids:?}: {status}");
        }
    }
}
