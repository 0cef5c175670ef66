//! The store of images, and what it is reminded of now and then.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use stagepages_audit::Event;
use stagepages_images::{Gone, Limits, Store, Witness};
use tokio::task::JoinHandle;

use crate::{audit::Audit, config::Config, metrics::Metrics};

/// Unfinished writes at one time.
const MOST_UPLOADS: usize = 64;

/// Of these, one tenant's. Each holds memory beside the receive budget while it is written (see `rpc::image_write`); one tenant's leave the same for others.
const MOST_OF_TENANT: usize = MOST_UPLOADS / 2;

/// How often unfinished writes are looked through.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Does what waits for a disk, on a thread that may wait.
#[expect(
    clippy::disallowed_methods,
    reason = "it is a disk that is waited for, not the kernel's KVM; and whoever asks is bounded, by calls at one time and by unfinished writes"
)]
pub fn on_disk<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
    tokio::task::spawn_blocking(crate::trace::on_thread(work))
}

/// Opens the store in this directory.
pub(super) fn open(
    dir: &Path,
    config: &Config,
    audit: Audit,
    metrics: Metrics,
) -> anyhow::Result<Store> {
    let limits = Limits {
        max_image_bytes: config.max_image_bytes,
        quota_bytes: config.image_quota_bytes,
        max_uploads: MOST_UPLOADS,
        max_uploads_of_owner: MOST_OF_TENANT,
        upload_idle: config.image_write_idle,
    };
    let witness = Witness::new(move |gone, digest, size| {
        metrics.images().gone(gone);
        let event = match gone {
            Gone::Evicted => Event::ImageEvicted,
            Gone::Quarantined => Event::ImageQuarantined,
        };
        audit.image(event, digest, size);
    });
    let store =
        Store::open_witnessed(dir, limits, witness).context("the image store in state_dir")?;
    let kept = store.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK_EVERY.min(limits.upload_idle)).await;
            let store = kept.clone();
            let expired = on_disk(move || store.expire(Instant::now())).await;
            if let Ok(expired @ 1..) = expired {
                tracing::info!(
                    expired,
                    "image writes that nobody went on with are given up"
                );
            }
        }
    });
    Ok(store)
}
