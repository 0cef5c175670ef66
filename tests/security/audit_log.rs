//! The audit log of a daemon under test, read as an operator would: its files, and `stagectl audit verify`.
//!
//! **Invariant:** no type of the product is used to read it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use stagepages_tests::{Bench, eventually, stagectl::Run};

/// Where the log of a daemon with a state directory of its own is.
pub(crate) fn place(bench: &Bench) -> PathBuf {
    bench.daemon.dir().join("state/audit")
}

/// Its files, oldest records first.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    // "audit-" sorts before "audit.".
    files.sort_unstable();
    files
}

/// All whole records.
pub(crate) fn records(dir: &Path) -> Vec<Value> {
    let texts = files(dir).into_iter().map(|file| fs::read(file).unwrap());
    let lines: Vec<Vec<u8>> = texts
        .flat_map(|text| {
            let whole: Vec<_> = text
                .split_inclusive(|byte| *byte == b'\n')
                .filter(|line| line.ends_with(b"\n"))
                .map(<[u8]>::to_vec)
                .collect();
            whole
        })
        .collect();
    let record = |line: &Vec<u8>| serde_json::from_slice(line).ok();
    lines.iter().filter_map(record).collect()
}

/// The records of a launch, by uid, and of no other.
pub(crate) fn of(records: &[Value], uid: &str) -> Vec<Value> {
    let its = records.iter().filter(|it| it["launch"]["uid"] == uid);
    its.cloned().collect()
}

/// The events of some records.
pub(crate) fn events(records: &[Value]) -> Vec<&str> {
    records
        .iter()
        .map(|it| it["event"].as_str().unwrap())
        .collect()
}

/// Waits until there are records that `wanted` takes, and returns all.
pub(crate) async fn until(dir: &Path, what: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    eventually(what, async || {
        let records = records(dir);
        wanted(&records).then_some(records)
    })
    .await
}

/// `stagectl audit verify`, with JSON.
pub(crate) fn verify(dir: &Path, more: &[&str]) -> Run {
    let dir = dir.to_str().unwrap();
    let arguments = ["audit", "verify", dir, "--output", "json"];
    stagepages_tests::stagectl::run(&[&arguments[..], more].concat())
}

/// The log verifies; its document.
#[track_caller]
pub(crate) fn sound(dir: &Path) -> Value {
    let run = verify(dir, &[]);
    assert_eq!(run.exit, Some(0), "{run:?}");
    let document = run.document();
    assert_eq!(document["sound"], true);
    document
}
