//! Which platform the story is told on, and why.
//!
//! **Invariant:** what was asked for is taken or refused with each missing thing named; nothing takes its place silently.

use anyhow::{Context as _, bail};
use stagepages_client::v1::{GetNodeInfoResponse, Platform, PlatformInfo};

use crate::cli::DemoPlatform;

/// A platform, and why it was taken.
#[derive(Debug)]
pub(super) struct Choice {
    /// Which.
    pub(super) platform: Platform,
    /// Why, as a sentence without capital and period.
    pub(super) why: String,
    /// Whether its guests can be started.
    pub(super) runs_guests: bool,
}

/// What was asked for; else `kvm` where it works; else `sim`.
pub(super) fn choose(
    node: &GetNodeInfoResponse,
    asked: Option<DemoPlatform>,
) -> anyhow::Result<Choice> {
    let kvm = info(node, Platform::Kvm)?;
    let (platform, why) = match asked {
        Some(DemoPlatform::Sim) => (Platform::Sim, "as you asked".into()),
        Some(DemoPlatform::Kvm) if !kvm.available => {
            bail!(
                "platform kvm does not work here: {}; --platform sim works everywhere",
                missing(kvm)
            )
        }
        Some(DemoPlatform::Kvm) => (Platform::Kvm, "as you asked".into()),
        None if kvm.available => (
            Platform::Kvm,
            "because GetNodeInfo found here all that it needs".into(),
        ),
        None => (
            Platform::Sim,
            format!("because kvm does not work here: {}", missing(kvm)),
        ),
    };
    Ok(Choice {
        platform,
        why,
        runs_guests: info(node, platform)?.runs_guests,
    })
}

fn info(node: &GetNodeInfoResponse, platform: Platform) -> anyhow::Result<&PlatformInfo> {
    let found = node
        .platforms
        .iter()
        .find(|info| info.platform() == platform);
    found.with_context(|| {
        format!(
            "GetNodeInfo should list every platform, and lacks {}",
            platform.as_str_name()
        )
    })
}

fn missing(info: &PlatformInfo) -> String {
    let missing = info.checks.iter().filter(|check| !check.ok);
    let told: Vec<String> = missing
        .map(|check| format!("{} ({}): {}", check.subject, check.found, check.remedy))
        .collect();
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use stagepages_client::v1::Check;

    use super::*;

    fn node(kvm: bool) -> GetNodeInfoResponse {
        let check = Check {
            subject: "/dev/kvm".into(),
            ok: kvm,
            found: "no such file".into(),
            remedy: "load kvm".into(),
        };
        let kvm = PlatformInfo {
            platform: Platform::Kvm.into(),
            available: kvm,
            checks: vec![check],
            runs_guests: true,
            ..PlatformInfo::default()
        };
        let sim = PlatformInfo {
            platform: Platform::Sim.into(),
            available: true,
            ..PlatformInfo::default()
        };
        GetNodeInfoResponse {
            platforms: vec![sim, kvm],
            ..GetNodeInfoResponse::default()
        }
    }

    #[test]
    fn kvm_is_taken_where_it_works_and_sim_elsewhere_with_the_reason() {
        let chosen = choose(&node(true), None).expect("kvm works");
        assert_eq!((chosen.platform, chosen.runs_guests), (Platform::Kvm, true));
        let chosen = choose(&node(false), None).expect("sim always works");
        assert_eq!(
            (chosen.platform, chosen.runs_guests),
            (Platform::Sim, false)
        );
        assert!(
            chosen.why.contains("/dev/kvm (no such file): load kvm"),
            "{}",
            chosen.why
        );
    }

    #[test]
    fn what_was_asked_for_is_never_replaced() {
        let chosen = choose(&node(true), Some(DemoPlatform::Sim)).expect("sim always works");
        assert_eq!(chosen.platform, Platform::Sim);
        let error = choose(&node(false), Some(DemoPlatform::Kvm)).expect_err("kvm is missing");
        assert!(error.to_string().contains("load kvm"), "{error}");
    }
}
