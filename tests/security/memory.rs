//! What the scans of memory have in common: a daemon that logs everything, connections that end, and where a marker may be.
//!
//! **Invariant:** nothing is scanned while a call is under way, unless the test says so.
use stagepages_proto::v1::Platform;
use stagepages_tests::{
    Api, Bench, DaemonOptions, Found, Marker, Subject, Subjects, eventually, say,
};

/// What this machine has, logging all that it can.
pub(crate) fn subjects() -> Subjects {
    Subjects::new([Platform::Sim, Platform::Kvm].map(Subject::new)).with(talkative)
}

/// Logs everything, and tells its metrics.
pub(crate) fn talkative(options: DaemonOptions) -> DaemonOptions {
    options.environment("STAGEPAGES_LOG", "trace").metrics()
}

/// A connection of its own, whose end frees what the daemon received over it.
pub(crate) async fn connect(bench: &Bench) -> Api {
    Api::unix(bench.daemon.socket()).await
}

/// Asserts that soon the marker is in no place but those that `may` have it; returns where it is then.
///
/// Not at once: threads wipe behind the answer, and a connection ends when the daemon hears of it.
pub(crate) async fn only_in(
    bench: &Bench,
    marker: &Marker,
    what: &str,
    may: impl Fn(&Found) -> bool,
) -> Vec<Found> {
    let what = format!("a marker that is only {what}");
    let last = std::cell::RefCell::new(Vec::new());
    let clean = async || {
        let found = bench.daemon.find(marker);
        let stray: Vec<_> = found.iter().filter(|found| !may(found)).cloned().collect();
        if *last.borrow() != stray {
            say(&format!("not yet where it may be: {stray:?}"));
            last.replace(stray.clone());
        }
        stray.is_empty().then_some(found)
    };
    eventually(&what, clean).await
}

/// The guest's memory, and what a connection that is open still has received.
pub(crate) fn guest_or_received(found: &Found) -> bool {
    found.guest || found.role == "daemon" && !found.place.contains("memfd:")
}
