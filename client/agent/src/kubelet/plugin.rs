//! The service that kubelet calls, of one resource.
//!
//! **Invariant:** a slow kubelet holds nothing up and nothing back: it is told of the newest state, not of each.

use std::{path::PathBuf, pin::Pin, sync::Arc};

use futures_util::{Stream, stream};
use stagepages_client::v1::Platform;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{
    allocation::{chosen, container},
    api::v1beta1::{
        AllocateRequest, AllocateResponse, Device, DevicePluginOptions, Empty,
        ListAndWatchResponse, PreStartContainerRequest, PreStartContainerResponse,
        PreferredAllocationRequest, PreferredAllocationResponse,
        device_plugin_server::DevicePlugin,
    },
    clear::clear,
    inventory::Inventory,
};

/// The device plugin of one platform.
#[derive(Debug)]
pub struct Plugin {
    /// Whose devices.
    pub platform: Platform,
    /// Where their directories lie, on the node.
    pub device_dir: PathBuf,
    /// What there is.
    pub inventory: watch::Receiver<Inventory>,
    /// Held by each stream, so that whoever keeps the other end can count them.
    pub watched: Arc<()>,
    /// Ends the streams.
    pub stop: CancellationToken,
}

/// A stream of lists.
type Lists = Pin<Box<dyn Stream<Item = Result<ListAndWatchResponse, Status>> + Send>>;

/// What a stream needs for its next list.
struct Watching {
    platform: Platform,
    inventory: watch::Receiver<Inventory>,
    told: Option<Vec<Device>>,
    stop: CancellationToken,
    _watched: Arc<()>,
}

impl Watching {
    /// The next list that is not as the last one; none at the end.
    async fn next(mut self) -> Option<(Result<ListAndWatchResponse, Status>, Self)> {
        loop {
            let devices = self.inventory.borrow_and_update().devices(self.platform);
            if self.told.as_ref() != Some(&devices) {
                self.told = Some(devices.clone());
                return Some((Ok(ListAndWatchResponse { devices }), self));
            }
            let changed = self.inventory.changed();
            self.stop.run_until_cancelled(changed).await?.ok()?;
        }
    }
}

#[tonic::async_trait]
impl DevicePlugin for Plugin {
    type ListAndWatchStream = Lists;

    async fn get_device_plugin_options(
        &self,
        _request: Request<Empty>,
    ) -> Result<Response<DevicePluginOptions>, Status> {
        Ok(Response::new(DevicePluginOptions::default()))
    }

    async fn list_and_watch(&self, _request: Request<Empty>) -> Result<Response<Lists>, Status> {
        let watching = Watching {
            platform: self.platform,
            inventory: self.inventory.clone(),
            told: None,
            stop: self.stop.clone(),
            _watched: Arc::clone(&self.watched),
        };
        Ok(Response::new(Box::pin(stream::unfold(
            watching,
            Watching::next,
        ))))
    }

    async fn allocate(
        &self,
        request: Request<AllocateRequest>,
    ) -> Result<Response<AllocateResponse>, Status> {
        let inventory = self.inventory.borrow().clone();
        let containers = request.into_inner().container_requests;
        let refused = |status: &Status| {
            tracing::warn!(refusal = status.message(), "an allocation is refused");
        };
        let chosen = containers
            .iter()
            .map(|asked| chosen(self.platform, &inventory, &asked.devices_ids));
        let chosen: Vec<_> = chosen.collect::<Result<_, Status>>().inspect_err(refused)?;
        for device in chosen.iter().flatten() {
            clear(&self.device_dir, *device)
                .await
                .inspect_err(refused)?;
        }
        let given = chosen.iter().map(|devices| {
            let ids: Vec<_> = devices.iter().map(ToString::to_string).collect();
            tracing::info!(devices = ids.join(", "), "given to a container");
            container(&self.device_dir, devices)
        });
        Ok(Response::new(AllocateResponse {
            container_responses: given.collect(),
        }))
    }

    async fn get_preferred_allocation(
        &self,
        _request: Request<PreferredAllocationRequest>,
    ) -> Result<Response<PreferredAllocationResponse>, Status> {
        Err(Status::unimplemented(
            "all devices are equal; the options say so",
        ))
    }

    async fn pre_start_container(
        &self,
        _request: Request<PreStartContainerRequest>,
    ) -> Result<Response<PreStartContainerResponse>, Status> {
        Err(Status::unimplemented(
            "nothing is to be done; the options say so",
        ))
    }
}
