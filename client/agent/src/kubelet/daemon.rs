//! Asks the daemon what there is, again and again: nothing else tells a daemon that hangs from one that has nothing to say.
//!
//! **Invariant:** one question at a time, each with a deadline; without an answer no device is healthy.

use std::{
    collections::BTreeSet,
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
    let mut client = None;
    loop {
        let asked = timeout(PATIENCE, ask(&settings, &mut client));
        let Some(answer) = stop.run_until_cancelled(asked).await else {
            return;
        };
        let answer = answer.unwrap_or_else(|_elapsed| {
            Err(format!("the daemon has not answered within {PATIENCE:?}"))
        });
        if answer.is_err() {
            // Whatever state it is in, the next question begins anew.
            client = None;
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

async fn ask(settings: &Settings, client: &mut Option<Client>) -> Result<Said, String> {
    let connected = match client.take() {
        Some(client) => client,
        None => Client::connect(&settings.endpoint)
            .await
            .map_err(|error| plain(&format!("{error}; {}", error.remedy())))?,
    };
    let info = connected
        .node_info()
        .await
        .map_err(|error| plain(&format!("the daemon at {}: {error}", settings.endpoint)))?;
    *client = Some(connected);
    let made = directories(&settings.device_dir).await?;
    Ok(offers(&info, &made))
}

/// Devices that have a directory.
async fn directories(dir: &Path) -> Result<BTreeSet<DeviceId>, String> {
    let failed = |error| {
        format!(
            "the device directory {}: {error}; it has to be the daemon's device_dir",
            dir.display()
        )
    };
    let mut entries = tokio::fs::read_dir(dir).await.map_err(failed)?;
    let mut made = BTreeSet::new();
    while let Some(entry) = entries.next_entry().await.map_err(failed)? {
        let name = PathBuf::from(entry.file_name());
        made.extend(name.to_str().and_then(|name| name.parse::<DeviceId>().ok()));
    }
    Ok(made)
}

fn offers(info: &GetNodeInfoResponse, made: &BTreeSet<DeviceId>) -> Said {
    let draining = info.usage.as_ref().is_some_and(|usage| usage.draining);
    let of = |platform: &PlatformInfo| {
        let count = count(platform, made).min(MOST);
        let has = |number| {
            made.contains(&DeviceId {
                platform: platform.platform(),
                number,
            })
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

fn problem(platform: &PlatformInfo, draining: bool) -> Option<String> {
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

fn count(platform: &PlatformInfo, made: &BTreeSet<DeviceId>) -> u32 {
    let numbers = made.iter().filter(|id| id.platform == platform.platform());
    numbers
        .map(|id| id.number.saturating_add(1))
        .max()
        .unwrap_or(0)
}
