//! `stagepagesd demo`: the whole story of one launch, told by a client against a service of its own.
//!
//! ```text
//!  demo ──starts──▶ serve (this binary, in a temporary directory) ──▶ daemon ──▶ launch host ──▶ guest_memfd
//!    └────────────── gRPC over a Unix socket, as any client ────────────▲
//! ```
//!
//! It is a test as well: what comes back is held against what the API promises, and the first number that is wrong ends it.
//!
//! **Invariant:** whatever happens, short of SIGKILL, the service is ended and its directory removed before this returns.

mod claims;
mod daemon;
mod firmware;
mod guest;
mod image;
mod layout;
mod platform;
mod report;
mod service;
mod steps;
mod story;
mod summary;

use std::{io, process::ExitCode};

use anyhow::{Context as _, anyhow};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::cli::DemoArgs;
use image::Image;
use report::Report;
use service::Service;
use story::tell;

/// Shows the story on stdout.
///
/// # Errors
/// What failed, or which promise was broken: the message says what came instead.
pub fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let image = Image::choose(args.image.as_deref())?;
    let mut stdout = io::stdout().lock();
    let mut report = Report::new(&mut stdout);
    // One thread, so that a signal finds it wherever it waits.
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut signals = runtime.block_on(async { Signals::catch() })?;
    let service = Service::start()?;
    let told = runtime.block_on(async {
        let daemon = service.daemon()?;
        tokio::select! {
            told = tell(&mut report, daemon, args.platform, image) => Ok(told),
            name = signals.caught() => Err(anyhow!("ended by {name}")),
        }
    })?;
    // Closes the connections, for which the daemon would wait.
    drop(runtime);
    let summary = told.map_err(|error| match error.is::<io::Error>() {
        // Whoever reads went away; the service had no part in it.
        true => error.context("standard output"),
        false => error.context(format!(
            "the service's last lines are\n{}the demo stopped",
            service.log_tail()
        )),
    })?;
    service.end()?;
    summary.show(&mut report).context("standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// The signals by which a person or a service manager ends the demo.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on they do not end the process by themselves, so that there is time to clean up.
    fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next one's name.
    async fn caught(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
