//! A model of the kernel beneath a daemon under test, and what it saw.
//!
//! The model is a library that is preloaded into the shipped binaries: it stands in for /dev/kvm, /dev/sev and the files of the preflight. Its script is a file
//! of the daemon's directory, and so is its trace, which is the whole tree's standard output: the product writes nothing there, and a descriptor
//! that every process has anyway is handed to no other test's processes.
//!
//! **Invariant:** a daemon that broke a rule of the kernel's does not end as a success.
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::binaries::model_library;

/// Variables that launch hosts have to get, or there is no model in them.
const VARIABLES: [&str; 3] = ["LD_PRELOAD", "STAGEPAGES_MODEL", "STAGEPAGES_MODEL_TRACE"];

/// What is modelled.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// The kernel, such as `6.18`.
    pub(crate) profile: String,
    /// The whole script.
    script: Value,
}

impl Model {
    /// A kernel with everything that both platforms need, in which nothing fails.
    pub(crate) fn new(profile: &str) -> Self {
        let script = serde_json::json!({ "profile": profile, "snp": true, "tdx": true });
        Self {
            profile: profile.to_owned(),
            script,
        }
    }

    /// Changes a key of the script.
    pub(crate) fn set(&mut self, key: &str, value: Value) {
        self.script[key] = value;
    }

    /// Has `command`, a daemon whose files all lie in `dir`, run on the model.
    pub(crate) fn put_beneath(&self, command: &mut Command, dir: &Path) {
        let script = dir.join("model.json");
        std::fs::write(&script, self.script.to_string()).expect("a script in a fresh directory");
        let trace = File::options()
            .create(true)
            .append(true)
            .open(trace_path(dir));
        command
            .env("LD_PRELOAD", model_library())
            .env("STAGEPAGES_MODEL", script)
            .env("STAGEPAGES_MODEL_TRACE", "1")
            .arg(format!("--host-env={}", VARIABLES.join(",")))
            .stdout(trace.expect("a trace in a fresh directory"));
    }
}

/// Events of the model, in the order in which they were written.
#[derive(Debug)]
pub struct Trace(Vec<Value>);

impl Trace {
    pub(crate) fn read(dir: &Path) -> Self {
        Self::parse(&std::fs::read_to_string(trace_path(dir)).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        // A process that is killed while it writes leaves half a line.
        let event = |line: &str| serde_json::from_str(line).ok();
        Self(text.lines().filter_map(event).collect())
    }

    /// All of them.
    #[must_use]
    pub fn events(&self) -> &[Value] {
        &self.0
    }

    /// What some process did that no launch host must ever do.
    fn violations(&self) -> Vec<String> {
        let broken = self.0.iter().filter(|event| event["t"] == "violation");
        broken.map(ToString::to_string).collect()
    }

    /// Asserts that no process did what no launch host must ever do.
    ///
    /// # Panics
    /// If one did, or if none did anything.
    pub fn assert_clean(&self) {
        let broken = self.violations().join("\n");
        assert!(broken.is_empty(), "rules of the kernel broken:\n{broken}");
        assert!(
            !self.0.is_empty(),
            "nobody asked the model anything: it is not beneath the hosts"
        );
    }
}

fn trace_path(dir: &Path) -> PathBuf {
    dir.join("trace")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_found_beside_half_a_line() {
        let text = "{\"t\":\"open\"}\n{\"t\":\"beg\n{\"t\":\"violation\",\"words\":\"a hole\"}\n";
        let trace = Trace::parse(text);
        assert_eq!(trace.events().len(), 2);
        let found = trace.violations();
        assert!(found.len() == 1 && found[0].contains("a hole"), "{found:?}");
        assert!(Trace::parse("{\"t\":\"end\"}").violations().is_empty());
    }
}
