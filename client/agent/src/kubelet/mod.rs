//! Everything that is said to kubelet, and asked of it.
//!
//! **Invariant:** kubelet's absence, slowness or end never ends the agent.

use tokio_util::sync::CancellationToken;

use crate::{cli::Settings, health::Health};

/// Offers the daemon's devices until `stop`.
///
/// # Errors
/// None that are known.
pub async fn run(
    _settings: Settings,
    _health: Health,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    stop.cancelled().await;
    Ok(())
}
