//! `stagectl stage`, killed at random bytes and started again until it is through.
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use stagepages_tests::{Contents, binaries};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use super::proxy::Proxy;

/// How often it is started, at most: more than it can be killed, and told that there is nobody.
const STARTS: u64 = 100;

/// Stages `file` at address 0 of launch `name`, killed up to `kills` times; how often it was, and the last one's document.
pub(crate) async fn stage(
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
            () = proxy.passes(random.below(bytes / kills)), if killed < kills => {
                child.kill().await.unwrap();
                killed += 1;
                continue;
            }
        };
        let document = document(child).await;
        if status.success() {
            return (killed, document);
        }
        // It may fail only before it began; whoever started it starts it again.
        assert_eq!(
            document["outcome"],
            Value::Null,
            "stagectl gave up: {document}"
        );
        assert_eq!(
            document["error"]["reason"],
            Value::Null,
            "stagectl gave up: {document}"
        );
    }
    panic!("stagectl is not through after {STARTS} starts");
}

fn start(proxy: &Proxy, name: &str, file: &Path) -> Child {
    let mut command = Command::new(&binaries().stagectl);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STAGEPAGES_") {
            command.env_remove(name);
        }
    }
    command
        .arg("--endpoint")
        .arg(format!("unix:{}", proxy.socket().display()))
        .args(["--output", "json", "stage", name])
        .arg(file)
        .args(["--gpa", "0x0", "--type", "normal", "--session", "round"])
        .stdin(Stdio::null())
        // One document, far less than a pipe holds.
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn document(mut child: Child) -> Value {
    let mut text = String::new();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_to_string(&mut text).await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}
