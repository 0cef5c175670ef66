//! Everything that is said to kubelet, and asked of it.
//!
//! ```text
//! daemon ──GetNodeInfo──▶ daemon ──▶ Inventory ──▶ resource, one per platform ──▶ register ──▶ kubelet.sock
//!                                        │             │ serves on a socket of its own, again whenever it or kubelet's is replaced
//!                                        └─────────▶ plugin ◀── ListAndWatch, Allocate ── kubelet
//! ```
//!
//! | module        | one idea                                                        |
//! |---------------|-----------------------------------------------------------------|
//! | [`api`]       | the messages of kubelet's APIs                                  |
//! | [`assignments`] | which pod was given which device                              |
//! | [`channel`]   | connections to kubelet's sockets, bounded in time               |
//! | [`clear`]     | nothing of a device's last pod is left for the next             |
//! | [`daemon`]    | asks the daemon what there is, again and again                  |
//! | [`device`]    | names: devices, resources, tenants                              |
//! | [`inventory`] | the devices of this node, and what ails them                    |
//! | [`plugin`]    | the service that kubelet calls                                  |
//! | [`register`]  | the one call to kubelet                                         |
//! | [`registered`] | which resources kubelet knows, for probes                      |
//! | [`resource`]  | one resource's life: serve, register, hold, again               |
//! | [`socket`]    | sockets in kubelet's directory: our own, and the sight of its   |
//!
//! **Invariant:** kubelet's absence, slowness or end never ends the agent, and a device is never offered that the daemon did not name.

use std::collections::BTreeSet;

use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{cli::Settings, health::Health};

pub mod allocation;
pub mod api;
pub mod assignments;
pub mod channel;
pub mod clear;
pub mod daemon;
pub mod device;
pub mod inventory;
pub mod plugin;
pub mod register;
pub mod registered;
pub mod resource;
pub mod socket;

use inventory::Inventory;
use registered::Registered;
use resource::Resource;

/// Offers the daemon's devices until `stop`.
///
/// # Errors
/// One of the tasks ended by itself, which none of them should.
pub async fn run(
    settings: Settings,
    health: Health,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let registered = Registered::new(health);
    registered.forget().await;
    let (tell, mut inventory) = watch::channel(Inventory::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(daemon::watch(settings.clone(), tell, stop.clone()));
    let mut begun = BTreeSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = tasks.join_next() => {
                ended?;
                anyhow::bail!("a task of it ended by itself");
            }
            Ok(()) = inventory.changed() => {
                let (offered, is_told) = {
                    let inventory = inventory.borrow_and_update();
                    (inventory.offered(), inventory.is_told())
                };
                for platform in offered {
                    if begun.insert(platform) {
                        registered.awaits(platform).await;
                        let resource = Resource::new(platform, &settings, inventory.clone());
                        tasks.spawn(resource.run(registered.clone(), stop.clone()));
                    }
                }
                if is_told {
                    registered.known().await;
                }
            }
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
}
