//! What the suite runs on: platforms, and programs that host them.

use stagepages_tests::{Bench, Subject, Subjects};

/// What this machine has, and `kvm` hosted by a program of somebody else's: see `tests/external_host`.
pub(crate) fn subjects() -> Subjects {
    Subjects::of_this_machine().and(hosted_by_another())
}

/// Runs `test` on all of them.
///
/// # Panics
/// If the test fails on any.
pub(crate) async fn on_every_platform(test: impl AsyncFn(&Bench)) {
    subjects().run(test).await;
}

/// `kvm` launches hosted by the external program.
pub(crate) fn hosted_by_another() -> Subject {
    Subject::hosted_by(env!("CARGO_BIN_EXE_external-host"))
}
