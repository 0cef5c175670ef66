//! How a launch host is started: `PROGRAM host --id=… --chunk-pages=… --runtime-dir=… --log=… --log-format=…`, with its listening socket as
//! standard input ([`take_stdin`](crate::wire::take_stdin)) and, in its environment, only the variables that `host_env` of the configuration names.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
};

/// Pages installed without looking up, where nothing is said.
const CHUNK_PAGES: u64 = 64;

/// What a launch host is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// The launch's uid, for logs.
    pub id: String,
    /// The supervisor's runtime directory, where hosts share the simulated firmware.
    pub runtime_dir: PathBuf,
    /// Pages installed without looking up.
    pub chunk_pages: u64,
    /// What is to be logged, to standard error: a level, or `target=level,…` as in `tracing_subscriber::EnvFilter`.
    pub log: String,
    /// In which format: `text` or `json`.
    pub log_format: String,
}

/// A command line that no supervisor gives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadArgs {
    /// A flag that has to be there.
    #[error("--{0} is missing; the supervisor gives it")]
    Missing(&'static str),
    /// A value that makes no sense.
    #[error("--{flag} is {value:?}; {want}")]
    Value {
        /// The flag.
        flag: &'static str,
        /// What it was given.
        value: OsString,
        /// What it takes.
        want: &'static str,
    },
}

impl HostConfig {
    /// Reads the flags among `args`. What is not known is ignored, for a later supervisor may say more; the last of equal flags counts.
    ///
    /// # Errors
    /// A flag that is missing or malformed.
    pub fn from_args(args: impl IntoIterator<Item = OsString>) -> Result<Self, BadArgs> {
        let args: Vec<_> = args.into_iter().collect();
        let chunk_pages = match value(&args, "chunk-pages") {
            None => CHUNK_PAGES,
            Some(given) => given
                .to_str()
                .and_then(|given| given.parse().ok())
                .filter(|pages| *pages > 0)
                .ok_or_else(|| BadArgs::Value {
                    flag: "chunk-pages",
                    value: given.to_owned(),
                    want: "it takes a number of pages, at least 1",
                })?,
        };
        let text = |flag, default: Option<&str>| match (value(&args, flag), default) {
            (Some(given), _) => given.to_str().map(str::to_owned).ok_or(BadArgs::Value {
                flag,
                value: given.to_owned(),
                want: "it takes UTF-8",
            }),
            (None, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(BadArgs::Missing(flag)),
        };
        Ok(Self {
            id: text("id", None)?,
            runtime_dir: value(&args, "runtime-dir")
                .map(PathBuf::from)
                .ok_or(BadArgs::Missing("runtime-dir"))?,
            chunk_pages,
            log: text("log", Some("info"))?,
            log_format: text("log-format", Some("text"))?,
        })
    }
}

/// The value of `--flag=value` or `--flag value`.
fn value<'a>(args: &'a [OsString], flag: &str) -> Option<&'a OsStr> {
    let name = |arg: &'a OsString| -> Option<&'a [u8]> {
        arg.as_bytes()
            .strip_prefix(b"--")?
            .strip_prefix(flag.as_bytes())
    };
    let at = args
        .iter()
        .rposition(|arg| name(arg).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"=")))?;
    match name(args.get(at)?)?.strip_prefix(b"=") {
        Some(given) => Some(OsStr::from_bytes(given)),
        None => args.get(at + 1).map(OsString::as_os_str),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<HostConfig, BadArgs> {
        HostConfig::from_args(args.iter().map(OsString::from))
    }

    #[test]
    fn what_a_supervisor_gives_is_understood_and_what_a_later_one_adds_is_ignored() {
        let config = parse(&[
            "vmm",
            "host",
            "--id=u1",
            "--chunk-pages=7",
            "--runtime-dir=/run/x",
            "--log-format",
            "json",
            "--novel=1",
            "--logs=all",
        ]);
        let want = HostConfig {
            id: "u1".to_owned(),
            runtime_dir: "/run/x".into(),
            chunk_pages: 7,
            log: "info".to_owned(),
            log_format: "json".to_owned(),
        };
        assert_eq!(config, Ok(want));
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        let missing = parse(&["vmm", "host", "--id=u1"]);
        assert_eq!(missing, Err(BadArgs::Missing("runtime-dir")));
        for pages in ["0", "x", "-1"] {
            let arg = format!("--chunk-pages={pages}");
            let error = parse(&["--id=u", "--runtime-dir=/", &arg]).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("--chunk-pages is {pages:?}; it takes a number of pages, at least 1")
            );
        }
    }
}
