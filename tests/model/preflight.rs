//! GetNodeInfo of machines that lack one thing: it is named, with the way out, and nothing else is.
//!
//! **Invariant:** every row is a machine of its own, and says all that it lacks.
use serde_json::{Value, json};
use stagepages_proto::v1::{
    GetNodeInfoResponse, Platform, PlatformCapacity, PlatformInfo, SevSnpInfo,
};
use stagepages_tests::{Api, Daemon, DaemonOptions};

const PROFILES: [&str; 4] = ["6.11", "6.18", "6.19", "7.1"];

/// A machine with something wrong.
struct Row {
    platform: Platform,
    profile: &'static str,
    /// What of the script is not as on a machine that has everything.
    script: (&'static str, Value),
    /// What is missing: subject, a word of what was found, a word of the way out. Exactly these.
    missing: &'static [(&'static str, &'static str, &'static str)],
}

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

fn always(at: &str, errno: i32) -> (&'static str, Value) {
    (
        "faults",
        json!([{"at": at, "times": 1000, "effect": {"errno": errno}}]),
    )
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
        // A guest_memfd that can be mapped came with 6.18.
        let kvm = platform(&node, Platform::Kvm);
        assert_eq!(
            lacks(kvm),
            if old {
                vec!["KVM_CAP_GUEST_MEMFD_FLAGS"]
            } else {
                vec![]
            }
        );
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
async fn whatever_is_missing_is_named_with_its_way_out_and_nothing_else() {
    for row in rows() {
        let Row {
            platform: of,
            profile,
            script,
            missing,
        } = row;
        let node = node(profile, std::slice::from_ref(&script)).await;
        let info = platform(&node, of);
        let subjects: Vec<_> = missing.iter().map(|(subject, ..)| *subject).collect();
        assert_eq!(
            lacks(info),
            subjects,
            "{script:?} under {profile}: {info:?}"
        );
        assert_eq!(info.available, missing.is_empty(), "{script:?}");
        for (subject, found, remedy) in missing {
            let check = info.checks.iter().find(|check| check.subject == *subject);
            let check = check.unwrap();
            assert!(check.found.contains(found), "{script:?}: {check:?}");
            assert!(check.remedy.contains(remedy), "{script:?}: {check:?}");
        }
    }
}

fn rows() -> Vec<Row> {
    let snp = |profile, script, missing| Row {
        platform: Platform::SevSnp,
        profile,
        script,
        missing,
    };
    let tdx = |profile, script, missing| Row {
        platform: Platform::Tdx,
        profile,
        script,
        missing,
    };
    let sev = |file: Value| files(json!({ "/dev/sev": file }));
    let refused = |errno: i32| json!({ "errno": errno });
    let parameter = "/sys/module/kvm_amd/parameters/sev_snp";
    let tdx_parameter = "/sys/module/kvm_intel/parameters/tdx";
    let capacity = "/sys/fs/cgroup/misc.capacity";
    vec![
        // Device nodes.
        snp(
            "6.11",
            sev(Value::Null),
            &[("/dev/sev", "No such file", "load ccp")],
        ),
        snp(
            "6.18",
            sev(refused(13)),
            &[("/dev/sev", "Permission denied", "let the daemon's user")],
        ),
        snp(
            "6.19",
            sev(refused(1)),
            &[("/dev/sev", "not permitted", "device cgroup")],
        ),
        snp(
            "7.1",
            sev(refused(16)),
            &[("/dev/sev", "busy", "end the program")],
        ),
        snp(
            "7.1",
            sev(refused(6)),
            &[("/dev/sev", "No such device", "its driver is not")],
        ),
        // The modules say no, or nothing; what KVM offers has the last word on the latter.
        snp(
            "6.18",
            files(json!({parameter: "N\n"})),
            &[("kvm_amd.sev_snp", "N", "sev_snp=1")],
        ),
        snp("7.1", files(json!({parameter: null})), &[]),
        snp("7.1", files(json!({parameter: {"errno": 13}})), &[]),
        tdx(
            "6.19",
            files(json!({tdx_parameter: "N\n"})),
            &[("kvm_intel.tdx", "N", "tdx=1")],
        ),
        tdx("6.18", files(json!({tdx_parameter: null})), &[]),
        // The machine or its kernel has no such VMs.
        snp(
            "6.18",
            ("snp", json!(false)),
            &[
                ("kvm_amd.sev_snp", "not loaded", "load kvm_amd"),
                ("KVM_CAP_VM_TYPES", "need 0x10", "SEV-SNP in firmware setup"),
                ("/dev/sev", "No such file", "load ccp"),
            ],
        ),
        tdx(
            "7.1",
            ("tdx", json!(false)),
            &[
                ("kvm_intel.tdx", "not loaded", "load kvm_intel"),
                ("KVM_CAP_VM_TYPES", "need 0x20", "TDX in firmware setup"),
            ],
        ),
        // KVM refuses.
        snp(
            "6.11",
            always("KVM_CREATE_VM", 16),
            &[("KVM_CREATE_VM", "busy", "other hypervisor")],
        ),
        tdx(
            "6.18",
            always("KVM_CREATE_VM", 12),
            &[("KVM_CREATE_VM", "memory", "free memory")],
        ),
        snp(
            "6.19",
            always("KVM_GET_DEVICE_ATTR", 5),
            &[
                ("guest policy bits", "Input/output", "kernel's log"),
                ("VMSA features", "Input/output", "6.11"),
            ],
        ),
        snp(
            "7.1",
            ("snp_policy_bits", json!(0x1_0000)),
            &[("guest policy bits", "bit 17", "another kernel")],
        ),
        tdx(
            "6.18",
            always("KVM_TDX_CAPABILITIES", 7),
            &[(
                "KVM_TDX_CAPABILITIES",
                "too long",
                "later version of stagepages",
            )],
        ),
        tdx(
            "7.1",
            always("KVM_TDX_CAPABILITIES", 5),
            &[(
                "KVM_TDX_CAPABILITIES",
                "Input/output",
                "update the TDX module",
            )],
        ),
        // No guest fits at all.
        snp(
            "6.18",
            files(json!({capacity: "sev 509\n"})),
            &[("ASIDs", "no `sev_es`", "firmware setup")],
        ),
        tdx(
            "6.19",
            files(json!({capacity: ""})),
            &[("key ids (HKIDs)", "no `tdx`", "firmware setup")],
        ),
    ]
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
