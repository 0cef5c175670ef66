//! What the suite runs on: platforms, and programs that host them.

use stagepages_proto::v1::Platform;
use stagepages_tests::{Bench, DaemonOptions, on_platform};

/// Runs `test` on `sim`, on `kvm`, and on `kvm` hosted by a program of somebody else's: see `tests/external_host`.
///
/// # Panics
/// If the test fails on any.
pub(crate) async fn on_every_platform(test: impl AsyncFn(&Bench)) {
    on_platform(&DaemonOptions::new(), Platform::Sim, &test).await;
    on_platform(&DaemonOptions::new(), Platform::Kvm, &test).await;
}
