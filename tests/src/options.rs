//! What a daemon under test is started with.
//!
//! **Invariant:** nothing of the developer's own configuration reaches it.
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::binaries::binaries;
use crate::model::Model;
use crate::scrape::metrics_socket;

/// What a test wants different from the defaults.
#[derive(Debug, Clone, Default)]
pub struct DaemonOptions {
    config: String,
    environment: Vec<(String, String)>,
    listen: Vec<String>,
    flags: Vec<String>,
    runtime_dir: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    pub(crate) model: Option<Model>,
    pub(crate) pid_namespace: bool,
    no_tcp: bool,
    launcher: Vec<PathBuf>,
    metrics: bool,
}

impl DaemonOptions {
    /// A daemon on a Unix socket and, by mutual TLS, on a TCP port of the loopback device, everything else by default. Its policy lets whoever runs
    /// it do all, and so clients with SPIFFE IDs of the trust domain `test`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens on no TCP port, and knows nothing of TLS.
    #[must_use]
    pub fn without_tcp(mut self) -> Self {
        self.no_tcp = true;
        self
    }

    /// Adds a line to the configuration file, in TOML.
    #[must_use]
    pub fn config(mut self, line: &str) -> Self {
        self.config.push_str(line);
        self.config.push('\n');
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a flag of `serve`, with its value in the same word.
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Runs on a model of the kernel that goes by `profile`, such as `6.18`, with SNP and TDX, and not on this machine's.
    #[must_use]
    pub fn model(mut self, profile: &str) -> Self {
        self.model = Some(Model::new(profile));
        self
    }

    /// Sets a key of the model's script, such as `faults`.
    ///
    /// # Panics
    /// If it does not run on the model.
    #[must_use]
    pub fn scripted(mut self, key: &str, value: Value) -> Self {
        let model = self.model.as_mut().expect("a model to script");
        model.set(key, value);
        self
    }

    /// The profile of the model that it runs on.
    #[must_use]
    pub fn profile(&self) -> Option<&str> {
        self.model.as_ref().map(|model| model.profile.as_str())
    }

    /// Serves metrics on a Unix socket of its own.
    #[must_use]
    pub fn metrics(mut self) -> Self {
        self.metrics = true;
        self
    }

    /// Also listens there, in the words of `--listen`.
    #[must_use]
    pub fn listen(mut self, place: &str) -> Self {
        self.listen.push(place.to_owned());
        self
    }

    /// Uses this runtime directory and not one of its own.
    #[must_use]
    pub fn runtime_dir(mut self, dir: &Path) -> Self {
        self.runtime_dir = Some(dir.to_owned());
        self
    }

    /// Uses this state directory and not one of its own.
    #[must_use]
    pub fn state_dir(mut self, dir: &Path) -> Self {
        self.state_dir = Some(dir.to_owned());
        self
    }

    /// Starts it by this program, which is given `argument` and then the command line that it is to become.
    #[must_use]
    pub fn started_by(mut self, program: &Path, argument: &str) -> Self {
        self.launcher = vec![program.to_owned(), argument.into()];
        self
    }

    /// Runs it as PID 1 of a pid namespace, as a container does.
    #[must_use]
    pub fn in_pid_namespace(mut self) -> Self {
        self.pid_namespace = true;
        self
    }
}

/// The command that starts a daemon whose files all lie in `dir`.
pub(crate) fn command(dir: &Path, options: &DaemonOptions) -> Command {
    let log = File::options()
        .create(true)
        .append(true)
        .open(log_path(dir))
        .expect("a log file in a directory of the harness");
    let program = &binaries().stagepagesd;
    let mut command = if options.pid_namespace {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
        command.arg(program);
        command
    } else if let [launcher, argument] = options.launcher.as_slice() {
        let mut command = Command::new(launcher);
        command.arg(argument).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.arg("serve");
    if !options.config.is_empty() {
        let config = dir.join("config.toml");
        std::fs::write(&config, &options.config)
            .expect("a configuration file in a fresh directory");
        command.arg("--config").arg(config);
    }
    command
        .arg("--listen")
        .arg(format!("unix:{}", dir.join("api.sock").display()));
    if !options.no_tcp {
        command.args(["--listen", "tcp:127.0.0.1:0"]);
        for (flag, file) in [
            ("--tls-cert", "server.crt"),
            ("--tls-key", "server.key"),
            ("--tls-client-ca", "ca.crt"),
        ] {
            command.arg(flag).arg(tls_dir(dir).join(file));
        }
        // Without a policy only users of this machine are known.
        if !options.flags.iter().any(|it| it.starts_with("--policy")) {
            command
                .arg("--policy")
                .arg(tls_dir(dir).join("policy.toml"));
        }
    }
    if options.metrics {
        let place = metrics_socket(dir);
        command.arg(format!("--metrics-listen=unix:{}", place.display()));
    }
    for place in &options.listen {
        command.arg("--listen").arg(place);
    }
    command.args(&options.flags);
    command.args(extra_flags());
    command
        .arg("--state-dir")
        .arg(
            options
                .state_dir
                .clone()
                .unwrap_or_else(|| dir.join("state")),
        )
        .arg("--runtime-dir")
        .arg(
            options
                .runtime_dir
                .clone()
                .unwrap_or_else(|| dir.join("run")),
        );
    // What the developer's own shell configures must not change what is tested.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STAGEPAGES_") {
            command.env_remove(name);
        }
    }
    command
        .env("NOTIFY_SOCKET", dir.join("notify"))
        .envs(options.environment.iter().cloned());
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle of the log"))
        .stderr(log);
    if let Some(model) = &options.model {
        model.put_beneath(&mut command, dir);
    }
    // A group of its own: the mark by which the whole tree is found again.
    command.process_group(0);
    command
}

/// Where the files of TLS lie.
pub(crate) fn tls_dir(dir: &Path) -> PathBuf {
    dir.join("tls")
}

/// Flags that a whole run of a suite is to have, such as `--sandbox=off`, separated by spaces. A test that gives one of them itself cannot run so.
const EXTRA_FLAGS: &str = "STAGEPAGES_TEST_FLAGS";

fn extra_flags() -> Vec<String> {
    let given = std::env::var(EXTRA_FLAGS).unwrap_or_default();
    given.split_whitespace().map(str::to_owned).collect()
}

/// What the whole tree writes.
pub(crate) fn log_path(dir: &Path) -> PathBuf {
    dir.join("log")
}
