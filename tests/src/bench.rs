//! A daemon and a connection to it, for one platform: what most tests start from.
//!
//! **Invariant:** a platform that works here is never left out.
use std::time::Duration;

use stagepages_proto::v1::{Launch, Platform, PlatformInfo};
use tokio::time::Instant;

use crate::api::{Api, Extent};
use crate::contents::{Contents, PAGE, page};
use crate::daemon::Daemon;
use crate::guest::GuestMemory;
use crate::options::DaemonOptions;
use crate::say::say;
use crate::spec::{region, spec};
use crate::wait::LONG;

/// Pages of the region that [`Bench::launch`] makes.
const PAGES: u64 = 1024;

/// A daemon under test and the platform to use.
#[derive(Debug)]
pub struct Bench {
    /// The daemon.
    pub daemon: Daemon,
    /// A connection over its Unix socket.
    pub api: Api,
    /// What launches are made on.
    pub platform: Platform,
}

/// Runs `test` on `sim` and, where this machine has it, on `kvm`; each with a daemon of its own, which must end cleanly. For suites that are about
/// something else than platforms; the others have [`Subjects`](crate::Subjects).
///
/// # Panics
/// If the test fails on any.
pub async fn on_every_platform(test: impl AsyncFn(&Bench)) {
    on_platform(&DaemonOptions::new(), Platform::Sim, &test).await;
    on_platform(&DaemonOptions::new(), Platform::Kvm, &test).await;
}

/// Runs `test` on one platform if this machine has it.
///
/// # Panics
/// If the test fails.
pub async fn on_platform(options: &DaemonOptions, platform: Platform, test: impl AsyncFn(&Bench)) {
    if let Some(bench) = Bench::start(options, platform).await {
        test(&bench).await;
        bench.end().await;
    }
}

impl Bench {
    /// Starts a daemon, if this machine has the platform; if not, that is told in one visible line.
    ///
    /// # Panics
    /// If the daemon does not start.
    pub async fn start(options: &DaemonOptions, platform: Platform) -> Option<Self> {
        match Self::try_start(options, platform).await {
            Ok(bench) => Some(bench),
            Err(missing) => {
                assert_ne!(
                    platform,
                    Platform::Sim,
                    "sim needs nothing and is available everywhere: {missing}"
                );
                say(&format!(
                    "not tested here: {}; {missing}",
                    platform.as_str_name()
                ));
                None
            }
        }
    }

    /// Starts a daemon; the error is everything that this machine lacks for the platform.
    pub(crate) async fn try_start(
        options: &DaemonOptions,
        platform: Platform,
    ) -> Result<Self, String> {
        let daemon = Daemon::start(options);
        let bench = Self {
            api: Api::unix(daemon.socket()).await,
            daemon,
            platform,
        };
        let info = bench.info().await;
        if info.available {
            return Ok(bench);
        }
        bench.daemon.stop();
        Err(missing(&info))
    }

    /// What the daemon says of the platform.
    ///
    /// # Panics
    /// If it does not name it.
    pub async fn info(&self) -> PlatformInfo {
        let platforms = self.api.node_info().await.platforms;
        platforms
            .into_iter()
            .find(|info| info.platform() == self.platform)
            .expect("every platform is listed")
    }

    /// Ends the daemon, which has to serve still, and to end cleanly.
    ///
    /// # Panics
    /// If it does not.
    pub async fn end(self) {
        self.still_serves().await;
        self.daemon.stop();
    }

    /// Waits until the daemon says that it is ready once more, and connects to it: it was killed, or started again.
    ///
    /// # Panics
    /// If there is none within a minute.
    pub async fn reborn(&mut self) {
        let deadline = Instant::now() + LONG;
        while !self.daemon.said_ready() {
            assert!(
                Instant::now() < deadline,
                "no daemon is ready:\n{}",
                self.daemon.log()
            );
            // The pace of asking.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.api = Api::unix(self.daemon.socket()).await;
    }

    /// Creates a launch with one region of 4 MiB at address 0.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn launch(&self, id: &str) -> Launch {
        let spec = spec(self.platform, [region(page(0), PAGES * PAGE)]);
        self.api
            .create(id, spec)
            .await
            .expect("an ordinary launch is created")
    }

    /// The memory of a launch that [`Self::launch`] made, read behind the product's back.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn memory(&self, launch: &Launch) -> GuestMemory {
        self.memory_of(launch, PAGES * PAGE)
            .expect("memory that is not encrypted")
    }

    /// Asserts that there is no launch, dead or alive.
    ///
    /// # Panics
    /// If there is one.
    pub async fn assert_no_launch(&self) {
        let usage = self.api.node_info().await.usage.expect("is always told");
        assert_eq!((usage.launches, usage.live_launches), (0, 0));
    }

    /// Asserts that a newcomer on a new connection is served from birth to end, whatever others did before.
    ///
    /// # Panics
    /// If not.
    pub async fn still_serves(&self) {
        let api = Api::tcp(&self.daemon).await;
        let launch = api
            .create("", spec(self.platform, [region(page(16), 16 * PAGE)]))
            .await
            .expect("a newcomer's launch is created");
        let data = Contents::new(7).pages(3);
        let staged = api
            .stage(&launch.name, Extent::normal(page(17), data))
            .await
            .expect("a newcomer's pages are installed");
        assert_eq!(
            (staged.installed_pages, staged.next_gpa, staged.stop),
            (3, page(20).get(), None)
        );
        let verified = api
            .verify(&launch.name)
            .await
            .expect("a newcomer's launch is verified");
        assert!(verified.consistent, "{verified:?}");
        api.abort(&launch.name)
            .await
            .expect("a newcomer's launch is aborted");
        api.delete(&launch.name)
            .await
            .expect("a newcomer's launch is deleted");
    }
}

/// All that is missing, in one line.
fn missing(info: &PlatformInfo) -> String {
    let missing: Vec<_> = info
        .checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| format!("{}: {} ({})", check.subject, check.found, check.remedy))
        .collect();
    missing.join("; ")
}
