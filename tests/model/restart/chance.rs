//! The campaign of `tests/restart`, on the model: each platform under one profile.
//!
//! **Invariant:** adds nothing but what the rounds run on.
use stagepages_kernel_model::{Call, Effect, Fault};
use stagepages_proto::v1::Platform;
use stagepages_tests::DaemonOptions;

#[path = "../../restart/campaign/mod.rs"]
mod campaign;

use campaign::{Place, campaign};

/// Slow enough that most moments are in the middle of an extent.
const PER_PAGE_US: u64 = 100;

fn place(platform: Platform, profile: &str, install: Call) -> Place {
    let latency = Fault::at(install, Effect::Latency(PER_PAGE_US));
    let faults = serde_json::to_value([latency]).expect("faults are JSON");
    Place {
        platform,
        options: DaemonOptions::new()
            .model(profile)
            .scripted("faults", faults),
        what: format!("{}, model of {profile}", platform.as_str_name()),
        contained: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_loses_and_doubles_nothing_on_snp() {
    campaign(&place(Platform::SevSnp, "6.18", Call::SnpLaunchUpdate)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_loses_and_doubles_nothing_on_tdx() {
    campaign(&place(Platform::Tdx, "7.1", Call::TdxInitMemRegion)).await;
}
