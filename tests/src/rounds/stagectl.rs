//! `stagectl launch stage`, killed at random bytes and started again until it is through.
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;

use super::proxy::Proxy;
use crate::contents::Contents;
use crate::stagectl;

/// How often it is started, at most: more than it can be killed, and told that there is nobody.
const STARTS: u64 = 100;

/// Reasons of a failure that says nothing of the launch: the last is that of a connection.
const AWAY: [&str; 3] = ["HOST_UNREACHABLE", "DRAINING", ""];

/// Stages `file` at address 0 of launch `name`, killed up to `kills` times; how often it was, and the last one's document, which
/// MUST be looked at: the launch may have been over.
///
/// # Panics
/// If it does not get through, however often it is started.
pub async fn stagectl_stage(
    proxy: &Proxy,
    name: &str,
    file: &Path,
    kills: u64,
    random: &mut Contents,
) -> (u64, Value) {
    let bytes = std::fs::metadata(file).unwrap().len();
    let mut killed = 0;
    for _ in 0..STARTS {
        let mut child = start(proxy, name, file);
        let status = tokio::select! {
            status = child.wait() => status.unwrap(),
            () = proxy.passes(random.below(bytes / kills.max(1))), if killed < kills => {
                child.kill().await.unwrap();
                killed += 1;
                continue;
            }
        };
        let document = document(child).await;
        // It may fail before it began, or while a daemon comes and goes; whoever started it starts it again.
        let reason = document["error"]["reason"].as_str().unwrap_or_default();
        let again = document["outcome"].is_null() && AWAY.contains(&reason);
        if status.success() || !again {
            return (killed, document);
        }
    }
    panic!("stagectl is not through after {STARTS} starts");
}

fn start(proxy: &Proxy, name: &str, file: &Path) -> Child {
    let stage = ["--output", "json", "launch", "stage", name];
    let rest = ["--gpa", "0x0", "--type", "normal", "--session", "round"];
    let arguments = [&stage[..], &[file.to_str().unwrap()], &rest[..]].concat();
    // One document, far less than a pipe holds.
    stagectl::start(proxy.socket(), &arguments, Stdio::piped())
}

async fn document(mut child: Child) -> Value {
    let mut text = String::new();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_to_string(&mut text).await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}
