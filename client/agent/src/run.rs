//! The agent's life: its parts are started, and at SIGTERM or SIGINT they end in order.
//!
//! **Invariant:** probes are answered first and last: while any part runs, so does health.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    cli::{Settings, SettingsArgs},
    health::Health,
    parts::parts,
};

/// Runs until a signal says otherwise.
///
/// # Errors
/// The flags do not suffice, or the address of the health service cannot be listened on.
pub fn run(args: SettingsArgs) -> anyhow::Result<()> {
    let settings = Settings::try_from(args)?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(run_parts(settings))
}

async fn run_parts(settings: Settings) -> anyhow::Result<()> {
    // Before anything else, so that no signal is lost to its default.
    let (mut term, mut int) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    let health = Health::new();
    let server = health.serve(settings.health_listen).await?;
    tracing::info!(
        node = settings.node_name,
        endpoint = %settings.endpoint,
        version = env!("CARGO_PKG_VERSION"),
        "started"
    );
    let running: Vec<_> = parts(&settings, &health)
        .into_iter()
        .map(crate::supervise::Part::supervised)
        .collect();
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    tracing::info!("ending");
    health.set("", false).await;
    for part in running {
        part.end().await;
    }
    server.end().await;
    tracing::info!("ended");
    Ok(())
}

fn listen(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).context("cannot take signals")
}
