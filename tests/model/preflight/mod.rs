//! GetNodeInfo of machines that lack one thing: it is named, with the way out, and nothing else is.
//!
//! **Invariant:** looking takes no ASID, no key id and no memory of a guest, whatever is found.
mod rows;

use serde_json::{Value, json};
use stagepages_proto::v1::{
    GetNodeInfoResponse, Platform, PlatformCapacity, PlatformInfo, SevSnpInfo,
};
use stagepages_tests::{Api, Daemon, DaemonOptions};

const PROFILES: [&str; 4] = ["6.11", "6.18", "6.19", "7.1"];

/// Asks a daemon on such a machine, and ends it.
async fn node(profile: &str, script: &[(&str, Value)]) -> GetNodeInfoResponse {
    let options = script.iter().fold(
        DaemonOptions::new().model(profile),
        |options, (key, value)| options.scripted(key, value.clone()),
    );
    let daemon = Daemon::start(&options);
    let info = Api::unix(daemon.socket()).await.node_info().await;
    let calls: Vec<_> = daemon.trace().events().iter().map(called).collect();
    // What takes an ASID, a key id, or memory of a guest.
    let takes = |call: &String| {
        ["INIT2", "INIT_VM", "GUEST_MEMFD", "VCPU", "LAUNCH"]
            .iter()
            .any(|word| call.contains(word) && !call.contains("MMAP_SIZE"))
    };
    assert!(!calls.iter().any(takes), "{calls:?}");
    daemon.stop();
    info
}

fn called(event: &Value) -> String {
    event["call"].as_str().unwrap_or_default().to_owned()
}

fn platform(node: &GetNodeInfoResponse, platform: Platform) -> &PlatformInfo {
    let found = node.platforms.iter().find(|it| it.platform() == platform);
    found.unwrap()
}

fn files(files: Value) -> (&'static str, Value) {
    ("files", files)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_everything_lacks_nothing_and_says_what_it_takes() {
    for profile in PROFILES {
        let node = node(profile, &[]).await;
        let snp = platform(&node, Platform::SevSnp);
        assert!(snp.available, "{profile}: {snp:?}");
        let old = profile == "6.11";
        let says = profile == "6.19" || profile == "7.1";
        let takes = SevSnpInfo {
            policy_bits: says.then_some(0x1b_ffff),
            vmsa_features: if old { 0x20 } else { 0x220 },
        };
        assert_eq!(snp.sev_snp, Some(takes), "{profile}");
        let asids = PlatformCapacity {
            total: 99,
            in_use: 0,
        };
        assert_eq!(snp.capacity, Some(asids), "{profile}");

        let tdx = platform(&node, Platform::Tdx);
        assert_eq!(tdx.available, !old, "{profile}: {tdx:?}");
        let takes = tdx.tdx.as_ref().map(|it| (it.attributes, it.xfam));
        assert_eq!(takes.is_some(), !old, "{profile}");
        if let Some((attributes, xfam)) = takes {
            let leaves = &tdx.tdx.as_ref().unwrap().cpuid;
            assert_ne!((attributes, xfam), (0, 0));
            assert!(
                leaves.iter().any(|leaf| leaf.function == 0x8000_0008),
                "{leaves:?}"
            );
            assert_eq!(tdx.capacity.unwrap().total, 31, "{profile}");
        }
        // guest_memfd came to plain VMs, and could be mapped, with 6.18.
        let plain: &[&str] = if old {
            &["KVM_CAP_GUEST_MEMFD", "KVM_CAP_GUEST_MEMFD_FLAGS"]
        } else {
            &[]
        };
        assert_eq!(lacks(platform(&node, Platform::Kvm)), plain, "{profile}");
        for it in &node.platforms {
            assert!(
                it.checks
                    .iter()
                    .all(|check| check.ok == check.remedy.is_empty())
            );
        }
    }
}

fn lacks(info: &PlatformInfo) -> Vec<&str> {
    let missing = info.checks.iter().filter(|check| !check.ok);
    missing.map(|check| check.subject.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_closed_is_what_every_platform_but_sim_lacks() {
    let closed = files(json!({"/dev/kvm": {"errno": 13}}));
    let options = DaemonOptions::new()
        .model("6.18")
        .scripted(closed.0, closed.1);
    let daemon = Daemon::start(&options);
    let node = Api::unix(daemon.socket()).await.node_info().await;
    assert!(platform(&node, Platform::Sim).available);
    for of in [Platform::Kvm, Platform::SevSnp, Platform::Tdx] {
        let info = platform(&node, of);
        assert_eq!(lacks(info), ["/dev/kvm"], "{info:?}");
        let check = &info.checks[0];
        assert!(check.found.contains("Permission denied"), "{check:?}");
        assert!(check.remedy.contains("let the daemon's user"), "{check:?}");
    }
    // Nobody got as far as to ask the model anything, so it has no trace to be searched.
    daemon.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn capacity_is_told_where_it_is_known_and_a_full_machine_is_still_one_with_the_platform() {
    let (capacity, current) = (
        "/sys/fs/cgroup/misc.capacity",
        "/sys/fs/cgroup/misc.current",
    );
    let some = |total, in_use| Some(PlatformCapacity { total, in_use });
    for (changed, snp, tdx) in [
        (
            json!({current: "sev_es 12\ntdx 30\n"}),
            some(99, 12),
            some(31, 30),
        ),
        (
            json!({current: "sev_es 99\ntdx 31\n"}),
            some(99, 99),
            some(31, 31),
        ),
        (json!({capacity: null}), None, None),
        (json!({current: null}), None, None),
        (json!({current: "sev_es many\ntdx\n"}), None, None),
    ] {
        let node = node("7.1", &[files(changed.clone())]).await;
        for (of, told) in [(Platform::SevSnp, snp), (Platform::Tdx, tdx)] {
            let info = platform(&node, of);
            assert!(info.available, "{changed}: {info:?}");
            assert_eq!(info.capacity, told, "{changed}");
        }
    }
}
