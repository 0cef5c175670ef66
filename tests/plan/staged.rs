//! What is planned is what is staged.

use serde_json::{Value, json as value};
use stagepages_proto::v1::Platform;
use stagepages_tests::Bench;

use super::{
    images,
    stagectl::{json, platform, run},
    subjects,
};

/// Runs a command that needs no daemon, and returns what it prints.
#[track_caller]
fn offline(arguments: &[&str]) -> String {
    let run = run(arguments);
    assert_eq!(run.exit, Some(0), "{arguments:?}: {run:?}");
    run.stdout.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_image_ends_in_the_digest_that_was_planned() {
    subjects()
        .run(async |bench: &Bench| {
            let platform = platform(bench);
            let directory = tempfile::tempdir().unwrap();
            for (nth, image) in images(bench.platform, directory.path()).iter().enumerate() {
                let name = image.name;
                let mut with: Vec<&str> = image.arguments.iter().map(String::as_str).collect();
                with.extend(["--platform", &platform]);
                let planned: Value = serde_json::from_str(&offline(
                    &[&["--output", "json", "plan"], &with[..]].concat(),
                ))
                .unwrap();

                let id = format!("vm-{nth}");
                json(bench, &[&["stage"], &with[..], &["--launch", &id]].concat());
                let launch = json(bench, &["launch", "get", &id]);
                assert_eq!(launch["state"], "FINISHED", "{name}");
                assert_eq!(launch["installed_pages"], planned["pages"], "{name}");
                if bench.platform == Platform::Kvm {
                    assert!(launch["launch_digest"].is_null(), "{name}");
                } else {
                    let digest = offline(&[&["digest"], &with[..]].concat());
                    assert_eq!(digest.len(), 96, "{name}: {digest}");
                    assert_eq!(
                        (&launch["launch_digest"], &planned["digest"]),
                        (&value!(digest), &value!(digest)),
                        "{name}"
                    );
                    if let Some(digests) = bench.daemon.firmware_digests() {
                        assert_eq!(digests.len(), nth + 1, "{name}: {digests:?}");
                        assert_eq!(digests.last(), Some(&digest), "firmware's own of {name}");
                    }
                }
                json(bench, &[&["diff", &id], &with[..]].concat());
            }
        })
        .await;
}
