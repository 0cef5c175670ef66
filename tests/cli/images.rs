//! `stagectl plan`, `digest` and `stage`: what is foretold of an image is what comes of it.
use std::process::Stdio;

use serde_json::{Value, json as value};
use stagepages_proto::v1::Platform;
use stagepages_tests::{
    Bench, DaemonOptions, amd_firmware, bzimage, elf, eventually, igvm, on_every_platform,
    on_platform, snapshot,
};

use crate::stagectl::{failing_json, json, platform, run, stagectl, start};

/// A guest that writes 0 to isa-debug-exit, port 0xf4.
const EXITS: &[u8] = b"\x30\xc0\xe6\xf4\xf4";

fn written(bench: &Bench, name: &str, contents: &[u8]) -> String {
    let path = bench.daemon.dir().join(name);
    std::fs::write(&path, contents).unwrap();
    path.to_str().unwrap().to_owned()
}

/// `stagectl digest` with these arguments, which asks no daemon.
fn digest(arguments: &[&str]) -> String {
    let run = run(&[&["digest"], arguments].concat());
    assert_eq!((run.exit, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    let digest = run.stdout.strip_suffix('\n').unwrap();
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    assert!(digest.len() == 96 && digest.chars().all(hex), "{run:?}");
    digest.to_owned()
}

/// Runs `test` with a daemon on sim, which measures as sev-snp does.
async fn on_sim(test: impl AsyncFn(&Bench)) {
    on_platform(&DaemonOptions::new(), Platform::Sim, test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_ends_in_the_digest_that_was_foretold() {
    on_sim(async |bench: &Bench| {
        for (id, image) in [
            ("firmware", amd_firmware(1)),
            ("igvm", igvm(1)),
            ("elf", elf(EXITS)),
            ("bzimage", bzimage(EXITS)),
        ] {
            let path = written(bench, id, &image);
            let path = path.as_str();
            let foretold = digest(&[path, "--platform", "sim"]);
            let plan = json(bench, &["plan", path, "--platform", "sim"]);
            assert_eq!(plan["digest"], foretold, "{id}");

            let staged = json(bench, &["stage", path, "--platform", "sim", "--launch", id]);
            assert_eq!(
                (&staged["state"], &staged["outcome"], &staged["digest"]),
                (&value!("FINISHED"), &value!("complete"), &value!(foretold)),
                "{id}: {staged}"
            );
            assert_eq!(staged["installed_pages"], plan["pages"], "{id}");
            let launch = json(bench, &["launch", "get", id]);
            assert_eq!(launch["launch_digest"], foretold, "{id}");
            snapshot(&bench.api, &format!("launches/{id}")).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_command_goes_on_and_then_has_nothing_left_to_do() {
    on_sim(async |bench: &Bench| {
        let path = written(bench, "firmware", &amd_firmware(2));
        let stage = ["stage", &path, "--platform", "sim", "--launch", "vm"];
        let begun = json(bench, &[&stage[..], &["--no-finish"]].concat());
        assert_eq!(begun["state"], "STAGING");

        // As its predecessor's heir it has the counts of all pages, from the answers that were kept.
        let went_on = json(bench, &stage);
        assert_eq!(went_on["state"], "FINISHED");
        assert_eq!(went_on["session"], begun["session"]);
        assert_eq!(
            (&went_on["installed_pages"], &went_on["identical_pages"]),
            (&begun["installed_pages"], &value!(0))
        );

        let again = json(bench, &stage);
        assert_eq!(
            (&again["state"], &again["outcome"], &again["calls"]),
            (&value!("FINISHED"), &value!("finished"), &value!(0))
        );
        assert_eq!(again["digest"], went_on["digest"]);

        // The pages are the same, and what somebody finished them with is not.
        let stage_by_hand = ["stage", &path, "--platform", "sim", "--launch", "by-hand"];
        let open = [&stage_by_hand[..], &["--no-finish"]].concat();
        json(bench, &open);
        json(bench, &["launch", "finish", "by-hand"]);
        assert_eq!(json(bench, &open)["outcome"], "finished");
        let refused = failing_json(bench, &stage_by_hand);
        assert_eq!(refused["error"]["reason"], "WRONG_STATE", "{refused}");

        // The spec is the same, the image is not: what is there is not what is wanted.
        let other = written(bench, "other", &amd_firmware(3));
        let stage = ["stage", &other, "--platform", "sim", "--launch", "vm"];
        let refused = failing_json(bench, &stage);
        let what = refused["error"]["what"].as_str().unwrap();
        assert!(what.contains("was finished before under"), "{refused}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_staged_with_its_files_and_zeros_as_they_travel() {
    on_sim(async |bench: &Bench| {
        written(bench, "contents", &[7; 3 * 4096 + 5]);
        let extents = r#"
            version = 1
            memory = ["0x0+1M"]
            [[extent]]
            gpa = 0x4000
            type = "normal"
            file = "contents"
            offset = 4096
            pad = true
            [[extent]]
            gpa = 0x0
            type = "unmeasured"
            length = 0x2000
            [[extent]]
            gpa = 0x8000
            type = "normal"
            length = 0x3000
            [[extent]]
            gpa = 0x10000
            type = "cpuid"
        "#;
        let path = written(bench, "guest.toml", extents.as_bytes());
        let foretold = digest(&[&path, "--platform", "sim"]);
        let stage = ["stage", &path, "--platform", "sim", "--launch", "vm"];
        let staged = json(bench, &stage);
        assert_eq!(staged["installed_pages"], 3 + 2 + 3 + 1);
        assert_eq!(
            (&staged["state"], &staged["digest"]),
            (&value!("FINISHED"), &value!(foretold))
        );
        snapshot(&bench.api, "launches/vm").await;

        let other = format!("expected_digest = \"{}\"\n{extents}", "00".repeat(48));
        let path = written(bench, "other.toml", other.as_bytes());
        let plan = failing_json(bench, &["plan", &path, "--platform", "sim"]);
        assert_eq!(plan["findings"][0]["code"], "DIGEST_MISMATCH", "{plan}");
        assert_eq!(plan["digest"], foretold);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_was_killed_is_completed_by_the_same_command() {
    on_every_platform(async |bench: &Bench| {
        let mut code = EXITS.to_vec();
        code.resize(0xf_0000, 0xf4);
        let path = written(bench, "large", &elf(&code));
        let platform = platform(bench);
        let stage = ["stage", &path, "--platform", &platform, "--launch", "vm"];
        let mut client = start(bench.daemon.socket(), &stage, Stdio::null());
        eventually("the first pages of a client's image", async || {
            { bench.api.get("launches/vm").await.ok() }.filter(|it| it.installed_pages > 0)
        })
        .await;
        // SIGKILL, wherever it was: it may even have been through.
        client.kill().await.unwrap();

        let staged = json(bench, &stage);
        assert_eq!(staged["state"], "FINISHED", "{staged}");
        let launch = bench.api.get("launches/vm").await.unwrap();
        assert_eq!(value!(launch.installed_pages), staged["total_pages"]);
        if staged["outcome"] == "complete" {
            let mine = staged["installed_pages"].as_u64().unwrap();
            let identical = staged["identical_pages"].as_u64().unwrap();
            assert_eq!(mine + identical, launch.installed_pages);
        }
        snapshot(&bench.api, "launches/vm").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_guest_runs() {
    let options = DaemonOptions::new();
    on_platform(&options, Platform::Kvm, async |bench: &Bench| {
        let path = written(bench, "guest", &elf(EXITS));
        let stage = [
            "stage",
            &path,
            "--platform",
            "kvm",
            "--launch",
            "vm",
            "--start",
        ];
        let staged = json(bench, &stage);
        assert!(staged["digest"].is_null(), "kvm measures nothing: {staged}");
        eventually("a guest that ends by itself", async || {
            { bench.api.get("launches/vm").await.ok() }.filter(|it| it.stop.is_some())
        })
        .await;
        let stopped = json(bench, &["launch", "get", "vm"]);
        assert_eq!(stopped["stop"]["reason"], "EXIT_CODE", "{stopped}");
        assert_eq!(json(bench, &stage)["outcome"], "finished");

        // As large, and asking for the same launch.
        written(bench, "guest", &elf(&[EXITS, &[0x90]].concat()));
        let refused = failing_json(bench, &stage);
        let what = refused["error"]["what"].as_str().unwrap();
        assert!(what.contains("other pages"), "{refused}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_guest_of_the_same_size_is_not_taken_for_the_one_that_was_staged() {
    let options = DaemonOptions::new();
    on_platform(&options, Platform::Kvm, async |bench: &Bench| {
        let path = written(bench, "guest", &elf(EXITS));
        let begin = ["stage", &path, "--platform", "kvm", "--launch", "vm"];
        let start = [&begin[..], &["--start"]].concat();
        assert_eq!(json(bench, &begin)["state"], "FINISHED");

        // Built anew: as many pages and the same entry, so that the spec is the same and only contents tell.
        let rebuilt = || written(bench, "guest", &elf(b"\x30\xc0\x90\xe6\xf4\xf4"));
        let refused_as = async |state: &str| {
            rebuilt();
            let refused = failing_json(bench, &start);
            let what = refused["error"]["what"].as_str().unwrap();
            let told = what.contains("was finished before with other pages than the plan has");
            assert!(told && refused["state"] == state, "{refused}");
            written(bench, "guest", &elf(EXITS));
        };
        refused_as("FINISHED").await;
        assert_eq!(json(bench, &["launch", "get", "vm"])["state"], "FINISHED");

        json(bench, &start);
        eventually("a guest that ends by itself", async || {
            { bench.api.get("launches/vm").await.ok() }.filter(|it| it.stop.is_some())
        })
        .await;
        refused_as("STOPPED").await;
        assert_eq!(json(bench, &start)["outcome"], "finished");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_with_an_error_is_shown_and_never_begun() {
    on_sim(async |bench: &Bench| {
        let path = written(bench, "firmware", &amd_firmware(4));
        let wrong = [&path, "--platform", "sev-snp", "--snp-policy", "0x10000"];
        let plan = failing_json(bench, &[&["plan"], &wrong[..]].concat());
        let worst = &plan["findings"][0];
        assert_eq!(
            (&worst["severity"], &worst["code"]),
            (&value!("error"), &value!("POLICY_BIT_17"))
        );
        for command in ["digest", "stage"] {
            let refused = failing_json(bench, &[&[command], &wrong[..]].concat());
            let what = refused["error"]["what"].as_str().unwrap();
            assert!(what.contains("POLICY_BIT_17"), "{command}: {refused}");
        }
        bench.assert_no_launch().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_has_the_digest_of_each_shape() {
    on_sim(async |bench: &Bench| {
        let path = written(bench, "firmware", &amd_firmware(5));
        let shapes = [
            "--sweep-vcpus",
            "1,3",
            "--sweep-types",
            "EPYC-Milan,25:1:1,0x800f12",
        ];
        let plan = ["plan", &path, "--platform", "sev-snp"];
        let plan = json(bench, &[&plan[..], &shapes].concat());
        let rows = plan["sweep"].as_array().unwrap();
        assert_eq!(rows.len(), 6);
        for row in rows {
            let vcpus = row["vcpus"].to_string();
            let cpu_type = row["vcpu_type"].as_str().unwrap();
            let snp = [&path, "--platform", "sev-snp", "--vcpus", &vcpus];
            let alone = digest(&[&snp[..], &["--vcpu-type", cpu_type]].concat());
            assert_eq!(row["digest"], alone, "{row}");
        }
        assert_eq!(rows[0]["digest"], rows[2]["digest"], "Milan is 25:1:1");
        assert_ne!(rows[0]["digest"], rows[4]["digest"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_image_is_refused_with_its_place_and_nothing_is_begun() {
    on_sim(async |bench: &Bench| {
        let firmware = amd_firmware(6);
        let mut lying = firmware.clone();
        // The number of sections, which is 7.
        lying[0xf00c..0xf010].copy_from_slice(&u32::MAX.to_le_bytes());
        for (name, bytes, words) in [
            ("empty", &[][..], "empty"),
            ("nothing", &[0; 4096], "known are IGVM"),
            ("short", &igvm(6)[..100], "offset 0x"),
            ("lying", &lying, "offset 0xf0"),
            ("crooked", &elf(EXITS)[..80], "offset 0x"),
        ] {
            let path = written(bench, name, bytes);
            for command in ["plan", "digest", "stage"] {
                let arguments = [command, &path, "--platform", "sim"];
                let refused = failing_json(bench, &arguments);
                let what = refused["error"]["what"].as_str().unwrap();
                let named = what.contains(words) && what.starts_with(&path);
                assert!(named, "{command} {name}: {what}");
            }
        }
        let gone = stagectl(&bench.daemon, &["plan", "/nowhere/at/all"]);
        assert_eq!(gone.exit, Some(1), "{gone:?}");
        bench.assert_no_launch().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_people_has_what_the_document_has() {
    on_sim(async |bench: &Bench| {
        let path = written(bench, "firmware", &amd_firmware(7));
        let plan = ["plan", &path, "--platform", "sev-snp"];
        let document = json(bench, &plan);
        let text = run(&plan).stdout;
        let has = |value: &Value| text.contains(value.as_str().unwrap());
        for (list, member) in [
            ("extents", "gpa"),
            ("extents", "name"),
            ("findings", "code"),
            ("sweep", "digest"),
            ("times", "assumption"),
        ] {
            let rows = document[list].as_array().unwrap();
            assert!(!rows.is_empty(), "{list}");
            assert!(rows.iter().all(|row| has(&row[member])), "{list} {member}");
        }
        assert!(has(&document["digest"]) && has(&document["format"]));
    })
    .await;
}
