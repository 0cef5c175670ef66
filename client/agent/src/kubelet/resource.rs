//! One resource's life: serve, register, hold until something is replaced, and again.
//!
//! ```text
//!            ┌────────────────────────────────────────────────────┐
//!            ▼                                                    │
//! await kubelet.sock ──▶ serve ──▶ Register ──▶ hold ─────────────┤  kubelet.sock or the own socket replaced or gone, or nobody watches
//!            ▲                        │ refused, silent            │
//!            └── wait, longer each ◀──┴────────────────────────────┘
//! ```
//!
//! **Invariant:** what is registered is served before, and every wait ends early when kubelet's socket is another.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use stagepages_client::v1::Platform;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{self, Server};

use super::{
    api::v1beta1::device_plugin_server::DevicePluginServer,
    device::resource_name,
    inventory::Inventory,
    plugin::Plugin,
    register::register,
    registered::Registered,
    socket::{OwnSocket, SocketError, SocketId, socket_at},
};
use crate::{backoff::Backoff, cli::Settings, health::incoming};

/// Between two looks at the sockets.
const PACE: Duration = Duration::from_millis(500);
/// Waits after failures.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(30);
/// How long nobody may watch before kubelet is told once more: it never comes back by itself to a plugin whose stream ended.
const UNWATCHED: Duration = Duration::from_secs(15);
/// Connections to the plugin; kubelet has one, and one more for a moment when it is told again.
const CONNECTIONS: usize = 8;
const STREAMS: u32 = 16;
/// For a call to be answered; the longest is Allocate, which empties devices first. A stream may go on for longer.
const CALL: Duration = Duration::from_secs(60);
/// How long calls have for their end.
const GRACE: Duration = Duration::from_secs(2);

/// One platform's resource.
#[derive(Debug)]
pub struct Resource {
    platform: Platform,
    name: String,
    /// File name of the plugin's socket.
    endpoint: String,
    /// kubelet's device-plugins/.
    dir: PathBuf,
    device_dir: PathBuf,
    inventory: watch::Receiver<Inventory>,
    said: Option<String>,
}

/// Why a registration is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Stop,
    KubeletReplaced,
    KubeletGone,
    OwnSocketGone,
    Unwatched,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "the agent ends",
            Self::KubeletReplaced => "kubelet has a new socket",
            Self::KubeletGone => "kubelet's socket is gone",
            Self::OwnSocketGone => "the plugin's own socket was removed or replaced",
            Self::Unwatched => "kubelet does not watch the devices",
        })
    }
}

impl Resource {
    /// The resource of `platform`.
    #[must_use]
    pub fn new(
        platform: Platform,
        settings: &Settings,
        inventory: watch::Receiver<Inventory>,
    ) -> Self {
        let name = resource_name(platform);
        Self {
            platform,
            endpoint: format!("{}.sock", name.replace('/', "-")),
            name,
            dir: settings.kubelet_dir.join("device-plugins"),
            device_dir: settings.device_dir.clone(),
            inventory,
            said: None,
        }
    }

    /// Keeps it registered until `stop`.
    pub async fn run(mut self, registered: Registered, stop: CancellationToken) {
        let mut backoff = Backoff::new(LEAST, MOST);
        loop {
            let kubelet = socket_at(&self.kubelet_socket()).await;
            let failure = match kubelet {
                None => self.missing(),
                Some(kubelet) => match self.serve(&stop) {
                    Err(error) => error.to_string(),
                    Ok(served) => match self.register(&stop).await {
                        None => return served.end().await,
                        Some(Err(failure)) => {
                            served.end().await;
                            failure
                        }
                        Some(Ok(())) => {
                            self.said = None;
                            tracing::info!(resource = self.name, "registered with kubelet");
                            registered.has(self.platform).await;
                            let (over, sound) = self.hold(kubelet, &served, &stop).await;
                            served.end().await;
                            if over == Over::Stop {
                                return;
                            }
                            registered.awaits(self.platform).await;
                            tracing::warn!(resource = self.name, why = %over, "registering again");
                            if sound {
                                backoff.reset();
                                continue;
                            }
                            over.to_string()
                        }
                    },
                },
            };
            self.say(failure);
            if kubelet.is_none() {
                // Its coming is looked for at the same pace for as long as it takes.
                backoff.reset();
            }
            let wait = backoff.after_failure();
            if stop
                .run_until_cancelled(self.wait(kubelet, wait))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    fn kubelet_socket(&self) -> PathBuf {
        self.dir.join("kubelet.sock")
    }

    fn missing(&self) -> String {
        format!(
            "kubelet's socket {} is not there; waiting for it (is KUBELET_DIR mounted, and kubelet running?)",
            self.kubelet_socket().display()
        )
    }

    /// Says what is wrong once, not at each attempt.
    fn say(&mut self, failure: String) {
        if self.said.as_ref() != Some(&failure) {
            tracing::warn!(resource = self.name, failure, "not registered with kubelet");
            self.said = Some(failure);
        }
    }

    fn serve(&self, stop: &CancellationToken) -> Result<Served, SocketError> {
        let (socket, listener) = OwnSocket::bind(&self.dir.join(&self.endpoint))?;
        let (stop, watched) = (stop.child_token(), Arc::new(()));
        let plugin = Plugin {
            platform: self.platform,
            device_dir: self.device_dir.clone(),
            inventory: self.inventory.clone(),
            watched: Arc::clone(&watched),
            stop: stop.clone(),
        };
        let server = Server::builder()
            .max_concurrent_streams(STREAMS)
            .timeout(CALL)
            .add_service(DevicePluginServer::new(plugin))
            .serve_with_incoming_shutdown(
                incoming(listener, CONNECTIONS),
                stop.clone().cancelled_owned(),
            );
        Ok(Served {
            socket,
            watched,
            stop: stop.drop_guard(),
            task: tokio::spawn(server),
        })
    }

    /// `None` if the agent ends meanwhile.
    async fn register(&self, stop: &CancellationToken) -> Option<Result<(), String>> {
        let kubelet = self.kubelet_socket();
        let registering = register(&kubelet, &self.endpoint, &self.name);
        let done = stop.run_until_cancelled(registering).await?;
        Some(done.map_err(|error| error.to_string()))
    }

    /// Holds the registration, and says why it is over, and whether it ever stood: whether kubelet came to watch.
    async fn hold(
        &self,
        kubelet: SocketId,
        served: &Served,
        stop: &CancellationToken,
    ) -> (Over, bool) {
        let (mut watched_at, mut sound) = (Instant::now(), false);
        let over = loop {
            if stop.run_until_cancelled(sleep(PACE)).await.is_none() {
                break Over::Stop;
            }
            if served.is_watched() {
                (watched_at, sound) = (Instant::now(), true);
            }
            match socket_at(&self.kubelet_socket()).await {
                None => break Over::KubeletGone,
                Some(now) if now != kubelet => break Over::KubeletReplaced,
                Some(_) => {}
            }
            if !served.socket.is_there().await {
                break Over::OwnSocketGone;
            }
            if watched_at.elapsed() > UNWATCHED {
                break Over::Unwatched;
            }
        };
        (over, sound)
    }

    /// Waits, less if kubelet's socket is another than `before`.
    async fn wait(&self, before: Option<SocketId>, wait: Duration) {
        let other = async {
            while socket_at(&self.kubelet_socket()).await == before {
                sleep(PACE).await;
            }
        };
        // Either will do.
        timeout(wait, other).await.ok();
    }
}

/// A plugin that is served.
#[derive(Debug)]
struct Served {
    socket: OwnSocket,
    /// Each stream holds it too.
    watched: Arc<()>,
    stop: DropGuard,
    task: JoinHandle<Result<(), transport::Error>>,
}

impl Served {
    /// Whether there is a stream. The plugin itself and this have it, too.
    fn is_watched(&self) -> bool {
        Arc::strong_count(&self.watched) > 2
    }

    /// Ends it, whoever still calls.
    async fn end(mut self) {
        drop(self.stop);
        if timeout(GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}
