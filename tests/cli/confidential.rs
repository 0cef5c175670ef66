//! What `stagectl` says of confidential launches: their settings, ID blocks, and CPUID pages that firmware would have otherwise.
//!
//! `sim` stands in for firmware where a page is refused; settings are for platforms that this machine need not have, so what is asked of them
//! here is that they reach the daemon.
use std::path::Path;

use serde_json::{Value, json as value};
use stagepages_proto::v1::{LaunchSpec, Platform, SimFault, SimSettings, sim_fault::Effect};
use stagepages_tests::{Bench, DaemonOptions, on_every_platform, on_platform, page, region, spec};

use crate::stagectl::{failing_json, json, platform, run, stagectl};

/// INVALID_PARAM: firmware would have the page otherwise.
const CORRECTED: u32 = 0x16;

/// A CPUID page with one leaf that firmware takes and one that it does not: of leaf 0xd EBX has to be 0x240.
fn cpuid_page() -> Vec<u8> {
    let mut page = vec![0; 4096];
    page[0] = 2;
    page[16] = 0x1;
    page[16 + 48] = 0xd;
    page[16 + 48 + 28..16 + 48 + 32].copy_from_slice(&0x988_u32.to_le_bytes());
    page
}

/// `launches/vm`, whose firmware refuses the page at 0x2000 once.
async fn picky_launch(bench: &Bench) {
    let fault = SimFault {
        gpa: page(2).get(),
        times: 1,
        effect: Some(Effect::FirmwareStatus(CORRECTED)),
    };
    let spec = LaunchSpec {
        sim: Some(SimSettings {
            faults: vec![fault],
            ..SimSettings::default()
        }),
        ..spec(bench.platform, [region(page(0), 1 << 20)])
    };
    bench.api.create("vm", spec).await.unwrap();
}

fn written(dir: &Path, name: &str, contents: &[u8]) -> String {
    let path = dir.join(name);
    std::fs::write(&path, contents).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cpuid_page_that_firmware_would_have_otherwise_is_shown_and_can_be_had() {
    on_platform(
        &DaemonOptions::new(),
        Platform::Sim,
        async |bench: &Bench| {
            picky_launch(bench).await;
            let dir = bench.daemon.dir();
            let submitted = written(dir, "cpuid", &cpuid_page());
            let corrected = dir.join("corrected");
            let corrected = corrected.to_str().unwrap();
            let stage = |file| {
                [
                    "launch", "stage", "vm", file, "--gpa", "0x2000", "--type", "cpuid",
                ]
            };

            let none = failing_json(bench, &["launch", "rejected-cpuid", "vm"]);
            assert_eq!(none["error"]["reason"], "RESULT_NOT_FOUND");
            let hint = none["error"]["hint"].as_str().unwrap();
            assert!(hint.contains("CPUID_REJECTED"), "{hint}");

            let refused = stagectl(&bench.daemon, &stage(&submitted));
            assert_eq!(refused.exit, Some(1), "{refused:?}");
            for words in [
                "error: CPUID_REJECTED",
                "\n  entry 1, leaf 0xd.0x0: ebx 0x988, firmware would have 0x240\n",
                "stagectl launch rejected-cpuid",
            ] {
                assert!(refused.stderr.contains(words), "{words:?} in {refused:?}");
            }

            let ask = ["launch", "rejected-cpuid", "vm"];
            let shown = json(bench, &ask);
            assert_eq!(shown, differences(&Value::Null));
            let saved = json(bench, &[&ask[..], &["--page", corrected]].concat());
            assert_eq!(saved, differences(&value!(corrected)));
            let mut wanted = cpuid_page();
            wanted[16 + 48 + 28..16 + 48 + 32].copy_from_slice(&0x240_u32.to_le_bytes());
            assert!(std::fs::read(corrected).unwrap() == wanted, "another page");

            std::fs::write(corrected, "precious").unwrap();
            let kept = failing_json(bench, &[&ask[..], &["--page", corrected]].concat());
            let what = kept["error"]["what"].as_str().unwrap();
            assert!(what.contains(corrected), "{what}");
            assert_eq!(std::fs::read(corrected).unwrap(), b"precious");

            let wanted = written(dir, "wanted", &wanted);
            assert_eq!(json(bench, &stage(&wanted))["installed_pages"], 1);
        },
    )
    .await;
}

fn differences(page: &Value) -> Value {
    value!({
        "launch": "launches/vm", "gpa": "0x2000", "page": page,
        "differences": [{
            "entry": 1, "leaf": "0xd", "subleaf": "0x0",
            "changes": [{"field": "ebx", "submitted": "0x988", "wanted": "0x240"}],
        }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_type_is_staged_by_command() {
    on_platform(
        &DaemonOptions::new(),
        Platform::Sim,
        async |bench: &Bench| {
            bench.launch("vm").await;
            let data = written(bench.daemon.dir(), "page", &[7; 4096]);
            let cpuid = written(bench.daemon.dir(), "cpuid", &cpuid_page());
            for (gpa, page_type, source) in [
                ("0x0", "normal", &[data.as_str()][..]),
                ("0x1000", "zero", &["--length", "4K"]),
                ("0x2000", "unmeasured", &[data.as_str()]),
                ("0x3000", "secrets", &["--length", "4K"]),
                ("0x4000", "cpuid", &[cpuid.as_str()]),
            ] {
                let stage = ["launch", "stage", "vm", "--gpa", gpa, "--type", page_type];
                let staged = json(bench, &[&stage[..], source].concat());
                assert_eq!(
                    (&staged["installed_pages"], &staged["page_type"]),
                    (&value!(1), &value!(page_type.to_uppercase())),
                    "{staged}"
                );
            }
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_reach_the_daemon_which_names_the_field() {
    on_every_platform(async |bench: &Bench| {
        bench.launch("vm").await;
        let platform = platform(bench);
        let host_data = "5a".repeat(32);
        let create = [
            "launch",
            "create",
            "new",
            "--memory",
            "0x0+1M",
            "--platform",
        ];
        let finish = ["launch", "finish", "vm"];
        let cases: [(&[&str], &[&str], &str); 5] = [
            (&create, &[&platform, "--snp-policy", "smt"], "spec.sev_snp"),
            (&create, &[&platform, "--tdx-xfam", "0x7"], "spec.tdx"),
            (&create, &["sev-snp", "--tdx-xfam", "0x7"], "spec.tdx"),
            (&create, &["tdx", "--snp-ghcb-version", "2"], "spec.sev_snp"),
            (&finish, &["--snp-host-data", &host_data], "sev_snp"),
        ];
        for (command, flags, field) in cases {
            let document = failing_json(bench, &[command, flags].concat());
            let error = &document["error"];
            assert_eq!(error["reason"], "INVALID_LAUNCH", "{flags:?}: {document}");
            let fields: Vec<_> = error["violations"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["subject"].as_str().unwrap())
                .collect();
            assert_eq!(fields, [field], "{flags:?}: {document}");
        }
        let tdx = failing_json(bench, &["launch", "set-vcpu", "vm", "0=tdx:0x809000"]);
        assert_eq!(tdx["error"]["reason"], "INVALID_VCPU_STATE", "{tdx}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_block_of_another_size_is_not_sent() {
    on_platform(
        &DaemonOptions::new(),
        Platform::Sim,
        async |bench: &Bench| {
            bench.launch("vm").await;
            let dir = bench.daemon.dir();
            let block = written(dir, "block", &[0; 96]);
            let auth = written(dir, "auth", &[0; 4096]);
            let short = written(dir, "short", &[0; 95]);
            let missing = format!("{}/missing", dir.display());
            for (block, auth, words) in [
                (&short, &auth, "95 bytes, where an ID block has 96"),
                (&auth, &auth, "more than 96 bytes, where an ID block has 96"),
                (
                    &block,
                    &block,
                    "96 bytes, where ID authentication information has 4096",
                ),
                // Endless, and read no further than needed.
                (&block, &"/dev/zero".to_owned(), "more than 4096 bytes"),
                (&missing, &auth, "cannot read"),
            ] {
                let finish = [
                    "launch",
                    "finish",
                    "vm",
                    "--snp-id-block",
                    block,
                    "--snp-id-auth",
                    auth,
                ];
                let document = failing_json(bench, &finish);
                let what = document["error"]["what"].as_str().unwrap();
                assert!(what.contains(words), "{words:?} in {what}");
                assert!(
                    document["error"]["reason"].is_null(),
                    "the daemon was not asked"
                );
            }
        },
    )
    .await;
}

#[test]
fn a_value_that_cannot_be_is_a_usage_error_with_flag_value_and_way_out() {
    let create = ["launch", "create", "vm", "--memory", "0x0+1M"];
    let finish = ["launch", "finish", "vm"];
    for (command, flag, wrong, way_out) in [
        (&create[..], "--snp-policy", "smt,smp", "single-socket"),
        (&create, "--snp-policy", "0x3000g", "0x30000"),
        (&create, "--snp-policy", "abi=1.256", "abi=MAJOR.MINOR"),
        (
            &create,
            "--snp-vmsa-features",
            "debug-swap",
            "hex (0x30000) or decimal",
        ),
        (&create, "--snp-ghcb-version", "1", "2..=65535"),
        (&create, "--snp-gosvw", "00", "16 bytes as 32 hex digits"),
        (
            &create,
            "--tdx-attributes",
            "-0x1",
            "hex (0x30000) or decimal",
        ),
        (&create, "--tdx-xfam", "0x10000000000000000", "below 2^64"),
        (
            &create,
            "--tdx-mrconfigid",
            "00",
            "48 bytes as 96 hex digits",
        ),
        (
            &create,
            "--tdx-mrowner",
            "0x00",
            "48 bytes as 96 hex digits",
        ),
        (
            &create,
            "--tdx-mrownerconfig",
            "zz",
            "48 bytes as 96 hex digits",
        ),
        (
            &create,
            "--tdx-cpuid",
            "0x7:0:0:0",
            "FUNCTION[.INDEX]:EAX:EBX:ECX:EDX",
        ),
        (&create, "--vcpu", "0=tdx", "INDEX=tdx:RCX"),
        (
            &finish,
            "--snp-host-data",
            "00",
            "32 bytes as 64 hex digits",
        ),
    ] {
        let equals = format!("{flag}={wrong}");
        let run = run(&[command, &[&equals]].concat());
        assert_eq!(run.exit, Some(2), "{flag}: {run:?}");
        for words in [flag, wrong, way_out] {
            assert!(run.stderr.contains(words), "{words:?} in {run:?}");
        }
    }
    for (given, needed) in [
        (&["--snp-id-block", "block"][..], "--snp-id-auth"),
        (&["--snp-id-auth", "auth"], "--snp-id-block"),
        (&["--snp-author-key"], "--snp-id-block"),
    ] {
        let run = run(&[&finish, given].concat());
        assert_eq!(run.exit, Some(2), "{given:?}: {run:?}");
        assert!(run.stderr.contains(needed), "{needed} in {run:?}");
    }
}
