//! A daemon on the model of a kernel whose script can be changed from launch to launch.
//!
//! **Invariant:** a script is replaced as a whole, so that no host ever reads half of one.
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use stagepages_kernel_model::{Event, Profile, Script};
use stagepages_proto::v1::Platform;
use stagepages_tests::{Api, Bench, DaemonOptions};

/// What a test has of the daemon while others use it too.
#[derive(Clone, Debug)]
pub(crate) struct Rig {
    pub(crate) api: Api,
    pub(crate) platform: Platform,
    pub(crate) profile: Profile,
    dir: PathBuf,
}

/// A moment of the trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

/// Starts a daemon for `platform` on the model of `profile`, with these lines in its configuration file.
pub(crate) async fn start(platform: Platform, profile: Profile, config: &str) -> (Bench, Rig) {
    let options = DaemonOptions::new().model(profile.name()).config(config);
    let bench = Bench::start(&options, platform).await;
    let bench = bench.expect("the modelled machine has the platform");
    let rig = Rig {
        api: bench.api.clone(),
        platform,
        profile,
        dir: bench.daemon.dir().to_owned(),
    };
    (bench, rig)
}

impl Rig {
    /// A machine that has the platform and in which nothing fails.
    pub(crate) fn script(&self) -> Script {
        Script {
            profile: self.profile,
            snp: true,
            tdx: true,
            ..Script::default()
        }
    }

    /// Has the hosts of the launches from now on find `script`.
    pub(crate) fn play(&self, script: &Script) {
        let path = self.dir.join("model.json");
        let fresh = self.dir.join("model.json.fresh");
        let json = serde_json::to_string(script).expect("a script is JSON");
        fs::write(&fresh, json).expect("the daemon's directory takes a file");
        fs::rename(&fresh, &path).expect("a file moves within its directory");
    }

    /// How much the model has seen so far.
    pub(crate) fn mark(&self) -> Mark {
        let trace = fs::metadata(self.trace()).expect("there is a trace");
        Mark(trace.len())
    }

    /// All that the model has seen since.
    pub(crate) fn events(&self, since: Mark) -> Vec<Event> {
        let mut file = File::open(self.trace()).expect("there is a trace");
        file.seek(SeekFrom::Start(since.0)).expect("it only grows");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("it is text");
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        // A process that is killed while it writes leaves half a line, and another goes on behind it.
        let last_begun = |line: &str| line.rfind("{\"pid\":").unwrap_or(0);
        let lines = text[..whole].lines().map(|line| &line[last_begun(line)..]);
        let lines: Vec<_> = lines.collect();
        Event::parse_all(&lines.join("\n")).expect("a trace of events")
    }

    fn trace(&self) -> PathBuf {
        self.dir.join("trace")
    }
}

/// What one process did, in its order.
pub(crate) fn of_process(events: &[Event], pid: u32) -> Vec<Event> {
    let mut events: Vec<_> = events.iter().filter(|e| e.pid == pid).cloned().collect();
    events.sort_by_key(|event| event.seq);
    events
}
