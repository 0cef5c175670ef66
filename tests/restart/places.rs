//! The campaign on this machine's `sim` and `kvm`, outside a pid namespace and as its PID 1.
//!
//! **Invariant:** adds nothing but what the rounds run on.
use stagepages_proto::v1::Platform;
use stagepages_tests::DaemonOptions;

use crate::campaign::{Place, campaign};

fn outside(platform: Platform) -> Place {
    Place {
        platform,
        options: DaemonOptions::new(),
        what: format!("{}, outside a pid namespace", platform.as_str_name()),
        contained: false,
    }
}

fn inside(platform: Platform) -> Place {
    Place {
        platform,
        options: DaemonOptions::new().in_pid_namespace(),
        what: format!("{}, inside a pid namespace", platform.as_str_name()),
        contained: true,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_loses_and_doubles_nothing_on_sim() {
    campaign(&outside(Platform::Sim)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_loses_and_doubles_nothing_on_kvm() {
    campaign(&outside(Platform::Kvm)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_in_a_pid_namespace_loses_and_doubles_nothing_on_sim() {
    campaign(&inside(Platform::Sim)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_in_a_pid_namespace_loses_and_doubles_nothing_on_kvm() {
    campaign(&inside(Platform::Kvm)).await;
}
