//! Registration, and kubelet's end of a plugin's stream.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint},
};

use super::{
    Manner, Plugin, Shared,
    api::v1beta1::{
        DevicePluginOptions, Empty, RegisterRequest, device_plugin_client::DevicePluginClient,
        registration_server::Registration,
    },
    locked,
};

/// The service on kubelet.sock.
#[derive(Debug)]
pub(super) struct RegistrationApi {
    pub(super) dir: PathBuf,
    pub(super) state: Shared,
    pub(super) stop: CancellationToken,
}

#[tonic::async_trait]
impl Registration for RegistrationApi {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<Empty>, Status> {
        let request = request.into_inner();
        let manner = {
            let mut state = locked(&self.state);
            let resource = request.resource_name.clone();
            *state.registrations.entry(resource).or_default() += 1;
            state.manner
        };
        match manner {
            Manner::Normal => {}
            Manner::Hanging => std::future::pending().await,
            Manner::Refusing => {
                return Err(Status::unknown(format!(
                    "requested API version \"{}\" is not supported by kubelet. Supported version is \"v2\"",
                    request.version
                )));
            }
        }
        if request.version != "v1beta1" {
            return Err(Status::unknown("requested API version is not supported"));
        }
        let resource = request.resource_name;
        let socket = self.dir.join(&request.endpoint);
        let client = plugin_client(&socket)
            .await
            .ok_or_else(|| Status::unknown(format!("failed to dial {}", socket.display())))?;
        let stop = self.stop.child_token();
        let generation = {
            let mut state = locked(&self.state);
            let generation = state.plugins.get(&resource).map_or(0, |it| it.generation) + 1;
            let plugin = Plugin {
                socket,
                generation,
                watching: stop.clone(),
                ..Plugin::default()
            };
            state.plugins.insert(resource.clone(), plugin);
            generation
        };
        let state = Arc::clone(&self.state);
        tokio::spawn(async move {
            let watching = watch(client, &state, &resource, generation);
            // Kubelet's end takes the connection along.
            if stop.run_until_cancelled(watching).await.is_some() {
                tell(&state, &resource, generation, |plugin| {
                    plugin
                        .devices
                        .values_mut()
                        .for_each(|healthy| *healthy = false);
                });
            }
        });
        Ok(Response::new(Empty {}))
    }
}

/// A connection to a plugin, if it listens.
pub(super) async fn plugin_client(socket: &Path) -> Option<DevicePluginClient<Channel>> {
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap();
    Some(DevicePluginClient::new(endpoint.connect().await.ok()?))
}

/// Takes notice of devices until the stream ends.
async fn watch(
    mut client: DevicePluginClient<Channel>,
    state: &Shared,
    resource: &str,
    generation: u32,
) -> Option<()> {
    let options = client.get_device_plugin_options(Empty {}).await.ok()?;
    assert_eq!(options.into_inner(), DevicePluginOptions::default());
    let mut lists = client.list_and_watch(Empty {}).await.ok()?.into_inner();
    loop {
        let list = lists.message().await.ok()??;
        tell(state, resource, generation, |plugin| {
            let device = |it: super::api::v1beta1::Device| (it.id, it.health == "Healthy");
            plugin.devices = list.devices.into_iter().map(device).collect();
        });
    }
}

/// Changes what is known of a plugin, unless it has registered once more meanwhile.
fn tell(state: &Shared, resource: &str, generation: u32, change: impl FnOnce(&mut Plugin)) {
    let mut state = locked(state);
    let plugin = state.plugins.get_mut(resource);
    if let Some(plugin) = plugin.filter(|it| it.generation == generation) {
        change(plugin);
    }
}
