//! What goes wrong: told with a hint, as JSON too, and never with exit status 0.
use serde_json::json as value;
use stagepages_tests::{Bench, Extent, on_every_platform, page};

use crate::stagectl::{failing_json, platform, run, stagectl};

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_carries_its_reason() {
    on_every_platform(async |bench: &Bench| {
        bench.launch("vm").await;
        bench
            .api
            .stage("launches/vm", Extent::normal(page(0), vec![1; 4096]))
            .await
            .unwrap();
        let platform = platform(bench);
        let cases: [(&[&str], &str); 7] = [
            (&["launch", "get", "nobody"], "LAUNCH_NOT_FOUND"),
            (
                &["launch", "get", "vm", "--uid", "0123"],
                "LAUNCH_NOT_FOUND",
            ),
            (&["launch", "delete", "vm"], "WRONG_STATE"),
            (
                &[
                    "launch",
                    "create",
                    "vm",
                    "--platform",
                    &platform,
                    "--memory",
                    "0x0+8K",
                ],
                "LAUNCH_EXISTS",
            ),
            (
                &[
                    "launch",
                    "create",
                    "new",
                    "--platform",
                    &platform,
                    "--memory",
                    "0x0+1M",
                    "--memory",
                    "0x1000+4K",
                ],
                "INVALID_LAUNCH",
            ),
            (
                &["launch", "finish", "vm", "--expect-digest", "0011"],
                "INVALID_LAUNCH",
            ),
            (
                &[
                    "launch",
                    "create",
                    "-x",
                    "--platform",
                    &platform,
                    "--memory",
                    "0x0+4K",
                ],
                "",
            ),
        ];
        for (arguments, reason) in cases {
            if reason.is_empty() {
                // Clap takes it for an option; a usage error is an honest answer too.
                assert_eq!(stagectl(&bench.daemon, arguments).exit, Some(2));
                continue;
            }
            let document = failing_json(bench, arguments);
            assert_eq!(
                document["error"]["reason"],
                value!(reason),
                "{arguments:?}: {document}"
            );
            assert!(
                !document["error"]["hint"].as_str().unwrap().is_empty(),
                "{document}"
            );
        }
        let staged = failing_json(
            bench,
            &[
                "launch",
                "stage",
                "vm",
                "--gpa",
                "0x1000000000",
                "--type",
                "zero",
                "--length",
                "4K",
            ],
        );
        assert_eq!(
            (&staged["outcome"], &staged["error"]["reason"]),
            (&value!("failed"), &value!("OUTSIDE_MEMORY"))
        );
        assert_eq!(staged["installed_pages"], 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tampered_launch_does_not_verify() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        bench
            .api
            .stage(&launch.name, Extent::normal(page(7), vec![7; 4096]))
            .await
            .unwrap();
        bench.memory(&launch).write(page(7), b"!");
        let document = failing_json(bench, &["launch", "verify", "vm"]);
        assert_eq!(
            (&document["consistent"], &document["findings_total"]),
            (&value!(false), &value!(1))
        );
        assert_eq!(
            document["findings"],
            value!([{"gpa": "0x7000", "kind": "CONTENTS"}])
        );
    })
    .await;
}

#[test]
fn a_daemon_that_is_not_there_is_said_to_be_not_there() {
    for endpoint in ["unix:/tmp/no such socket", "tcp:127.0.0.1:1"] {
        let run = run(&["--endpoint", endpoint, "--output", "json", "node"]);
        assert_eq!(run.exit, Some(1), "{run:?}");
        assert!(
            run.stderr.contains("error: ") && run.stderr.contains("hint: "),
            "{run:?}"
        );
        assert!(
            run.document()["error"]["reason"].is_null(),
            "no daemon gave it: {run:?}"
        );
    }
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for arguments in [
        &["launch", "create", "vm"][..],
        &["launch", "create", "vm", "--memory", "1M"],
        &["launch", "stage", "vm", "--gpa", "0x0", "--type", "zero"],
        &[
            "launch",
            "stage",
            "vm",
            "/dev/null",
            "--gpa",
            "0x0",
            "--type",
            "vmsa",
        ],
        &["--endpoint", "carrier-pigeon:coop", "node"],
        &["nonsense"],
    ] {
        let run = run(arguments);
        assert_eq!(run.exit, Some(2), "{arguments:?}: {run:?}");
        assert!(
            run.stdout.is_empty() && !run.stderr.is_empty(),
            "{arguments:?}: {run:?}"
        );
    }
}
