//! Asks the daemon what there is, again and again: nothing else tells a daemon that hangs from one that has nothing to say.
//!
//! **Invariant:** one question at a time, each with a deadline; without an answer no device is healthy.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use stagepages_client::{
    Client, plain,
    v1::{GetNodeInfoResponse, Platform, PlatformInfo},
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    device::DeviceId,
    inventory::{Inventory, Offer},
};
use crate::cli::Settings;

/// Between two questions.
const PACE: Duration = Duration::from_secs(1);
/// For an answer, the connection included.
const PATIENCE: Duration = Duration::from_secs(5);
/// Devices of a platform; beyond any machine there is. What more a daemon says it has is not offered.
const MOST: u32 = 4096;

/// Tells of each change until `stop`.
pub async fn watch(settings: Settings, tell: watch::Sender<Inventory>, stop: CancellationToken) {
    let mut asking = Asking::default();
    loop {
        let asked = timeout(PATIENCE, asking.ask(&settings));
        let Some(answer) = stop.run_until_cancelled(asked).await else {
            return;
        };
        let answer = answer.unwrap_or_else(|_elapsed| {
            Err(format!("the daemon has not answered within {PATIENCE:?}"))
        });
        if answer.is_err() {
            // Whatever state it is in, the next question begins anew.
            asking.client = None;
        }
        tell.send_if_modified(|inventory| {
            let now = match answer {
                Ok(said) => inventory.renewed(said),
                Err(problem) => {
                    // Without devices there is nobody else to tell.
                    tracing::debug!(problem, "no answer");
                    inventory.ailing(&problem)
                }
            };
            now.log_changes(inventory);
            let changed = *inventory != now;
            *inventory = now;
            changed
        });
        if stop
            .run_until_cancelled(tokio::time::sleep(PACE))
            .await
            .is_none()
        {
            return;
        }
    }
}

type Said = Vec<(Platform, Offer)>;

/// What lasts from one question to the next.
#[derive(Debug, Default)]
struct Asking {
    client: Option<Client>,
    /// Whether it was said that the device directory cannot be listed.
    said: bool,
}

impl Asking {
    async fn ask(&mut self, settings: &Settings) -> Result<Said, String> {
        let connected = match self.client.take() {
            Some(client) => client,
            None => Client::connect(&settings.endpoint)
                .await
                .map_err(|error| plain(&format!("{error}; {}", error.remedy())))?,
        };
        let info = connected.node_info().await.map_err(|error| {
            // Only here: with it the problem would be another one each second.
            tracing::debug!(request = error.request(), "GetNodeInfo failed");
            plain(&format!("the daemon at {}: {error}", settings.endpoint))
        })?;
        self.client = Some(connected);
        let made = match directories(&settings.device_dir).await {
            Ok(made) => Some(made),
            // It is closed to others than the daemon, whose word has to do: it serves all of them or does not start.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                if !self.said {
                    let dir = settings.device_dir.display();
                    tracing::warn!(%dir, %error, "the device directory cannot be looked at, so the daemon's count is believed");
                    self.said = true;
                }
                None
            }
            Err(error) => {
                let dir = settings.device_dir.display();
                return Err(format!(
                    "the device directory {dir}: {error}; it has to be the daemon's device_dir"
                ));
            }
        };
        Ok(offers(&info, made.as_ref()))
    }
}

/// Devices that have a directory.
async fn directories(dir: &Path) -> io::Result<BTreeSet<DeviceId>> {
    let mut entries = tokio::fs::read_dir(dir).await?;
    let mut made = BTreeSet::new();
    while let Some(entry) = entries.next_entry().await? {
        let name = PathBuf::from(entry.file_name());
        made.extend(name.to_str().and_then(|name| name.parse::<DeviceId>().ok()));
    }
    Ok(made)
}

fn offers(info: &GetNodeInfoResponse, made: Option<&BTreeSet<DeviceId>>) -> Said {
    let draining = info.usage.as_ref().is_some_and(|usage| usage.draining);
    let of = |platform: &PlatformInfo| {
        let count = platform.devices.min(MOST);
        let has = |number| {
            let id = DeviceId {
                platform: platform.platform(),
                number,
            };
            made.is_none_or(|made| made.contains(&id))
        };
        Offer {
            count,
            problem: problem(platform, draining),
            without_directory: (0..count).filter(|number| !has(*number)).collect(),
        }
    };
    info.platforms
        .iter()
        .filter(|platform| platform.platform() != Platform::Unspecified)
        .map(|platform| (platform.platform(), of(platform)))
        .collect()
}

/// What ails all devices of a platform.
pub(crate) fn problem(platform: &PlatformInfo, draining: bool) -> Option<String> {
    if draining {
        return Some("the daemon is shutting down and takes no new launches".to_owned());
    }
    if platform.available {
        return None;
    }
    let missing = platform.checks.iter().find(|check| !check.ok);
    Some(missing.map_or_else(
        || "the platform is not available".to_owned(),
        |check| {
            plain(&format!(
                "{}: {}; {}",
                check.subject, check.found, check.remedy
            ))
        },
    ))
}
