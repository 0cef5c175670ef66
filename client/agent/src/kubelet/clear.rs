//! Takes from a device what its last pod left there, before the next pod gets it.
//!
//! Whoever has a device is its tenant (deploy/DEVICES.md), so the next pod would read the consoles, ledgers and images of the one before, and its launch would find the
//! device's only place taken. Kubelet asks for an allocation when a container is admitted that has none yet, and gives away no device whose pod still runs
//! (pkg/kubelet/cm/devicemanager/manager.go, `devicesToAllocate`); so whatever is there at that time belongs to nobody who is left.
//!
//! **Invariant:** a device that is not empty is given to nobody.

use std::{path::Path, time::Duration};

use stagepages_client::{
    Client, ConnectError, Endpoint, LaunchList, LaunchRef, StagepagesError, plain, reason,
};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Status;

use super::device::DeviceId;
use crate::fault::identified;

/// For all of it. Kubelet admits pods one by one, and a daemon that takes longer is not well.
const PATIENCE: Duration = Duration::from_secs(20);
/// Before it is begun anew.
const AGAIN: Duration = Duration::from_millis(250);
/// Between two tries to delete a launch whose host is not gone yet.
const PAUSE: Duration = Duration::from_millis(50);

/// What keeps a device from being emptied.
struct Trouble {
    why: String,
    /// Whether asking again is of no use.
    is_lasting: bool,
}

impl From<ConnectError> for Trouble {
    fn from(error: ConnectError) -> Self {
        Self {
            why: plain(&format!("{error}; {}", error.remedy())),
            is_lasting: false,
        }
    }
}

impl From<StagepagesError> for Trouble {
    fn from(error: StagepagesError) -> Self {
        Self {
            why: identified(&plain(&error.to_string()), error.request()),
            is_lasting: matches!(
                error.reason(),
                Some(reason::PERMISSION | reason::UNAUTHENTICATED)
            ),
        }
    }
}

/// Ends and deletes all launches of the device's tenant, and gives up its images. A daemon that goes away meanwhile is asked again, from the beginning.
///
/// # Errors
/// UNAVAILABLE: something is left, or may be. Kubelet refuses the pod and says why.
pub async fn clear(device_dir: &Path, device: DeviceId) -> Result<(), Status> {
    let until = Instant::now() + PATIENCE;
    let mut last = None;
    let why = loop {
        match timeout_at(until, cleared(device_dir, device)).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(Ok(left_behind)) => {
                tracing::info!(%device, left_behind, "taken from a device before it is given away");
                return Ok(());
            }
            Ok(Err(trouble)) if trouble.is_lasting => break trouble.why,
            Ok(Err(trouble)) if Instant::now() + AGAIN < until => {
                tracing::warn!(%device, why = trouble.why, "a device is not emptied yet; it is tried again");
                last = Some(trouble.why);
                sleep(AGAIN).await;
            }
            Ok(Err(trouble)) => break trouble.why,
            Err(_elapsed) => {
                let before = last.map_or_else(String::new, |why| format!("; before that, {why}"));
                break format!("the daemon took longer than {PATIENCE:?}{before}");
            }
        }
    };
    Err(Status::unavailable(format!(
        "device {device} cannot be given away, because what its last pod left there cannot be removed: {why}; create the Pod again when the daemon answers"
    )))
}

/// How many launches and images were there.
async fn cleared(device_dir: &Path, device: DeviceId) -> Result<usize, Trouble> {
    let socket = device_dir.join(device.to_string()).join("api.sock");
    let client = Client::connect(&Endpoint::Unix(socket)).await?;
    let LaunchList {
        launches,
        unsettled,
    } = client.list_launches(&[]).await?;
    for launch in &launches {
        let launch = LaunchRef::from(launch);
        absent_or(client.abort_launch(&launch).await)?;
        // Its host may take a moment to be gone.
        while let Err(error) = absent_or(client.delete_launch(&launch).await) {
            if error.reason() != Some(reason::WRONG_STATE) {
                return Err(error.into());
            }
            sleep(PAUSE).await;
        }
    }
    if unsettled > 0 {
        return Err(Trouble {
            why: format!(
                "{unsettled} launches may be there that the daemon cannot tell of yet: they are being created, or their hosts have not answered it since it began"
            ),
            is_lasting: false,
        });
    }
    // Behind the launches, which use them.
    let images = client.list_images().await?;
    for image in &images {
        let name = image.name.parse().map_err(|error| Trouble {
            why: plain(&format!("{error}")),
            is_lasting: true,
        })?;
        absent_or(client.delete_image(name).await)?;
    }
    Ok(launches.len() + images.len())
}

/// What is gone already is as wanted.
fn absent_or<T>(done: Result<T, StagepagesError>) -> Result<(), StagepagesError> {
    let is_gone = |error: &StagepagesError| {
        matches!(
            error.reason(),
            Some(reason::LAUNCH_NOT_FOUND | reason::IMAGE_NOT_FOUND)
        )
    };
    match done {
        Err(error) if !is_gone(&error) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
