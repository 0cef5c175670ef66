//! Metrics: what they tell is what the API tells, for whoever scrapes them however, and what is said of them in deploy/ is what there is.
//!
//! ```text
//! counts    pages, waits, short counts, refusals, ends of launches and hosts, daemons that follow each other
//! images    the image store
//! listener  where they are served, and what its visitors cannot do
//! quotas    what tenants take of what they may
//! written   METRICS.md, the alert rules and the dashboard against a live scrape
//! ```
//!
//! **Invariant:** no test learns anything from the time that passed.
#![forbid(unsafe_code)]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

mod counts;
mod images;
mod listener;
mod lives;
mod quotas;
mod written;

use stagepages_proto::v1::Platform;
use stagepages_tests::{Bench, Scrape};

/// The name of the bench's platform in labels.
fn platform(bench: &Bench) -> &'static str {
    if bench.platform == Platform::Kvm {
        "platform=\"kvm\""
    } else {
        "platform=\"sim\""
    }
}

fn scrape(bench: &Bench) -> Scrape {
    bench.daemon.metrics().scrape()
}
