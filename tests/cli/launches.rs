//! `stagectl node` and `stagectl launch …`, from birth to end.
use serde_json::json as value;
use stagepages_proto::v1::{PageType, Platform};
use stagepages_tests::{Bench, Extent, PAGE, on_every_platform, page};

use crate::stagectl::{json, platform, run, stagectl};

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_lives_and_dies_by_commands() {
    on_every_platform(async |bench: &Bench| {
        let platform = platform(bench);
        let create = [
            "launch",
            "create",
            "vm-1",
            "--platform",
            &platform,
            "--memory",
            "0x0+1M",
            "--memory",
            "0x10000000+64K",
            "--label",
            "owner=me",
        ];
        let created = json(bench, &create);
        assert_eq!(created["name"], "launches/vm-1");
        assert_eq!(
            (&created["state"], &created["platform"]),
            (&value!("CREATED"), &value!(platform))
        );
        assert_eq!(
            created["memory"],
            value!([{"gpa": "0x0", "size": 1 << 20}, {"gpa": "0x10000000", "size": 64 << 10}])
        );
        assert_eq!(created["labels"], value!({"owner": "me"}));
        assert_eq!(json(bench, &create), created, "a repeat is the same launch");

        bench
            .api
            .stage(
                "launches/vm-1",
                Extent::length(page(1), PageType::Zero, 2 * PAGE),
            )
            .await
            .unwrap();
        let got = json(bench, &["launch", "get", "vm-1"]);
        assert_eq!(
            (&got["state"], &got["installed_pages"]),
            (&value!("STAGING"), &value!(2))
        );
        assert_eq!(
            json(
                bench,
                &[
                    "launch",
                    "get",
                    "launches/vm-1",
                    "--uid",
                    got["uid"].as_str().unwrap()
                ]
            ),
            got
        );
        assert_eq!(json(bench, &["launch", "list"])["launches"], value!([got]));
        assert_eq!(
            json(
                bench,
                &["launch", "list", "--state", "aborted", "--state", "created"]
            ),
            value!({"launches": []})
        );

        let listing = [
            "launch",
            "pages",
            "vm-1",
            "--order",
            "installation",
            "--hashes",
        ];
        let pages = json(bench, &listing);
        assert_eq!(
            (&pages["installed_pages"], &pages["runs"][0]["gpa"]),
            (&value!(2), &value!("0x1000"))
        );
        assert_eq!(
            pages["runs"][0]["hashes"][0],
            value!(blake3::hash(&[0; 4096]).to_hex().as_str())
        );
        let verified = json(bench, &["launch", "verify", "vm-1"]);
        assert_eq!(
            (&verified["consistent"], &verified["pages_checked"]),
            (&value!(true), &value!(2))
        );

        let mut finish = vec!["launch", "finish", "vm-1"];
        if bench.platform == Platform::Sim {
            finish.extend(["--expect-digest", got["launch_digest"].as_str().unwrap()]);
        } else {
            assert!(got["launch_digest"].is_null(), "kvm has none: {got}");
        }
        assert_eq!(json(bench, &finish)["state"], "FINISHED");
        let aborted = json(bench, &["launch", "abort", "vm-1"]);
        assert_eq!(
            (&aborted["state"], &aborted["abort"]["reason"]),
            (&value!("ABORTED"), &value!("REQUESTED"))
        );
        assert_eq!(json(bench, &listing), pages, "the same when it is over");
        assert_eq!(
            json(bench, &["launch", "delete", "vm-1"]),
            value!({"deleted": "launches/vm-1"})
        );
        assert_eq!(json(bench, &["launch", "list"]), value!({"launches": []}));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_the_same_without_json() {
    on_every_platform(async |bench: &Bench| {
        bench.launch("vm-1").await;
        for (arguments, words) in [
            (&["node"][..], &["sim", "kvm", "sev-snp", "tdx"][..]),
            (&["launch", "list"], &["vm-1", "CREATED"]),
            (
                &["launch", "get", "vm-1"],
                &["launches/vm-1", "CREATED", "not confidential"],
            ),
            (&["launch", "pages", "vm-1"], &["0 pages"]),
            (&["launch", "verify", "vm-1"], &["consistent"]),
            (&["launch", "abort", "vm-1"], &["ABORTED"]),
        ] {
            let run = stagectl(&bench.daemon, arguments);
            assert_eq!(
                (run.exit, run.stderr.as_str()),
                (Some(0), ""),
                "{arguments:?}: {run:?}"
            );
            assert!(
                words.iter().all(|word| run.stdout.contains(word)),
                "{words:?} in {}",
                run.stdout
            );
            assert!(
                !run.stdout.contains('\u{1b}'),
                "no colours into a pipe: {run:?}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_says_what_is_missing() {
    on_every_platform(async |bench: &Bench| {
        let node = json(bench, &["node"]);
        let platforms: Vec<_> = node["platforms"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["platform"].as_str().unwrap())
            .collect();
        assert_eq!(platforms, ["sim", "kvm", "sev-snp", "tdx"]);
        assert!(node["limits"]["max_data_bytes"].as_u64().unwrap() >= PAGE);
        assert_eq!(node["usage"]["draining"], false);
        let people = stagectl(&bench.daemon, &["node"]).stdout;
        assert!(
            people.lines().all(|line| line.chars().count() <= 100),
            "fits a terminal: {people}"
        );
        for it in node["platforms"].as_array().unwrap() {
            for key in ["sev_snp", "tdx", "capacity"] {
                assert!(it.get(key).is_some(), "null, never missing: {it}");
            }
            let checks = it["checks"].as_array().unwrap();
            let missing: Vec<_> = checks.iter().filter(|check| check["ok"] == false).collect();
            assert_eq!(it["available"], missing.is_empty(), "{it}");
            for check in missing {
                assert_ne!(check["remedy"], "", "{check}");
                let subject = check["subject"].as_str().unwrap();
                assert!(people.contains(&format!("missing  {subject}")), "{people}");
            }
        }
    })
    .await;
}

#[test]
fn completions_need_no_daemon() {
    for shell in ["bash", "zsh", "fish"] {
        let run = run(&["completions", shell]);
        assert_eq!(run.exit, Some(0), "{run:?}");
        assert!(
            run.stdout.contains("stagectl") && run.stdout.contains("verify"),
            "{shell}"
        );
    }
}
