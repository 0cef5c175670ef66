//! What `stagectl audit verify` says of a log that somebody worked on.

use std::{fs, path::Path};

use serde_json::Value;
use stagepages_proto::v1::Platform;
use stagepages_tests::{Bench, DaemonOptions};

use super::audit_log::{files, sound, verify};

/// The lines of a log, each with its newline.
type Lines = Vec<String>;

#[track_caller]
fn found(dir: &Path, more: &[&str], line: usize, kind: &str) {
    let run = verify(dir, more);
    assert_eq!(run.exit, Some(1), "{run:?}");
    assert!(run.stderr.contains("hint: "), "{run:?}");
    let document = run.document();
    assert_eq!(document["sound"], false);
    let problems = document["problems"].as_array().unwrap();
    let there = |it: &Value| it["line"] == line && it["kind"] == kind;
    assert!(problems.iter().any(there), "{kind} at {line}: {document}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_a_changed_and_a_moved_line_are_found_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit");
    let options = DaemonOptions::new().state_dir(dir.path());
    let bench = Bench::start(&options, Platform::Sim).await.unwrap();
    for id in ["a", "b", "c"] {
        bench.launch(id).await;
    }
    bench.end().await;
    let head = sound(&log)["head"].as_str().unwrap().to_owned();
    let [file] = &files(&log)[..] else {
        panic!("one file")
    };
    let text = fs::read_to_string(file).unwrap();
    let lines: Lines = text.split_inclusive('\n').map(str::to_owned).collect();
    let work = |change: &dyn Fn(&mut Lines)| {
        let mut lines = lines.clone();
        change(&mut lines);
        fs::write(file, lines.concat()).unwrap();
    };
    let expect = ["--expect-head", &head];
    work(&|lines| lines[1] = lines[1].replace("\"a\"", "\"z\""));
    found(&log, &[], 2, "changed");
    work(&|lines| drop(lines.remove(2)));
    found(&log, &[], 3, "missing");
    work(&|lines| lines.swap(2, 3));
    found(&log, &[], 4, "misplaced");
    // The end can be cut off unseen, unless the head was kept elsewhere.
    work(&|lines| drop(lines.pop()));
    sound(&log);
    found(&log, &expect, lines.len() - 1, "head_missing");
    work(&|_| {});
    let run = verify(&log, &expect);
    assert_eq!(run.exit, Some(0), "{run:?}");
    let nothing = verify(dir.path(), &[]);
    assert_eq!(nothing.exit, Some(1));
    assert!(nothing.stderr.contains("audit_dir"), "{nothing:?}");
}
