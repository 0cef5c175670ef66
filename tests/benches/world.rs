//! What every figure needs: the runtime of its clients, the scale, and a gibibyte of bytes that repeat nowhere.
//!
//! **Invariant:** a daemon is started for one figure and ended with it, and has to end cleanly.

use std::cell::OnceCell;

use bytes::Bytes;
use stagepages_client::{Client, Endpoint};
use stagepages_proto::v1::Platform;
use stagepages_tests::{Bench, Contents, DaemonOptions, PAGE, say};
use tokio::runtime::Runtime;

use crate::scale::Scale;

/// Bytes that most figures move.
pub(crate) const GIB: u64 = 1 << 30;

/// The surroundings of a figure.
#[derive(Debug)]
pub(crate) struct World {
    /// Where clients run.
    pub(crate) runtime: Runtime,
    /// How much is run.
    pub(crate) scale: Scale,
    source: OnceCell<Bytes>,
}

impl World {
    /// As the environment says.
    pub(crate) fn new() -> Self {
        let scale = Scale::from_environment();
        if scale.smoke {
            say("a smoke test: the figures mean nothing");
        }
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Self {
            runtime: builder.enable_all().build().unwrap(),
            scale,
            source: OnceCell::new(),
        }
    }

    /// A gibibyte, or of a smoke test less, of which no two pages are alike. Resident from the first call on.
    pub(crate) fn source(&self) -> &Bytes {
        let pages = self.scale.of(GIB) / PAGE;
        self.source.get_or_init(|| Contents::new(42).pages(pages))
    }

    /// Bytes of [`Self::source`].
    pub(crate) fn source_bytes(&self) -> u64 {
        self.scale.of(GIB)
    }

    /// Runs `figure` with a daemon on `platform`, if this machine has it.
    pub(crate) fn with_daemon(
        &self,
        options: &DaemonOptions,
        platform: Platform,
        figure: impl FnOnce(&Bench),
    ) {
        if let Some(bench) = self.runtime.block_on(Bench::start(options, platform)) {
            figure(&bench);
            self.runtime.block_on(bench.end());
        }
    }
}

/// The project's own client, on a connection of its own to the daemon's Unix socket.
pub(crate) async fn client(bench: &Bench) -> Client {
    let endpoint = Endpoint::Unix(bench.daemon.socket().to_owned());
    Client::connect(&endpoint).await.unwrap()
}
