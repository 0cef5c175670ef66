//! The table: a machine, the one thing that is not as it should be, and what GetNodeInfo names.
//!
//! **Invariant:** every row is a machine of its own, and says all that it lacks.
use serde_json::{Value, json};
use stagepages_proto::v1::Platform;

use super::{files, lacks, node, platform};

/// A machine with something wrong.
struct Row {
    platform: Platform,
    profile: &'static str,
    /// What of the script is not as on a machine that has everything.
    script: (&'static str, Value),
    /// What is missing: subject, a word of what was found, a word of the way out. Exactly these.
    missing: &'static [(&'static str, &'static str, &'static str)],
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

fn always(at: &str, errno: i32) -> (&'static str, Value) {
    (
        "faults",
        json!([{"at": at, "times": 1000, "effect": {"errno": errno}}]),
    )
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
