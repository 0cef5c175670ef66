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
    on_platform(&hosted_by_another(), Platform::Kvm, &test).await;
}

/// A daemon whose `kvm` launches are hosted by the external program.
pub(crate) fn hosted_by_another() -> DaemonOptions {
    let program = env!("CARGO_BIN_EXE_external-host");
    DaemonOptions::new().config(&format!("[host.kvm]\nprogram = \"{program}\""))
}
