//! Structured logs to standard error, as text for people or as one JSON object per line, in the form of the daemon's.
//!
//! **Invariant:** nothing is written to standard output, and colours only to a terminal.

use std::{io, io::IsTerminal as _, panic};

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, util::SubscriberInitExt as _, util::TryInitError};

/// Says again, each time and without the cause, what it returns and what is said here once. A filter that names it has it speak.
const QUIET: &str = "kube_client=off";

/// Flags of logging.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// What is logged: a level, or TARGET=LEVEL,…
    #[arg(long, env = "LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
    /// How lines are written
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One object per line
    Json,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not understood.
    #[error(
        "log filter {filter:?} is not understood; write a level such as info, or TARGET=LEVEL,…"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What its parser said.
        source: tracing_subscriber::filter::ParseError,
    },
    /// There are logs already.
    #[error("logging is set up already")]
    Twice(#[source] TryInitError),
}

/// Logs to standard error from now on, panics included.
///
/// # Errors
/// A filter that is not understood, or a second call.
pub fn init(args: &LogArgs) -> Result<(), LogError> {
    let own = Some(args.log.as_str()).filter(|it| !it.is_empty());
    let filter = EnvFilter::builder()
        .parse(own.map_or_else(String::new, |own| format!("{QUIET},{own}")))
        .map_err(|source| LogError::Filter {
            filter: args.log.chars().take(200).collect(),
            source,
        })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let done = match args.log_format {
        LogFormat::Text => builder
            .with_ansi(io::stderr().is_terminal())
            .finish()
            .try_init(),
        LogFormat::Json => builder.json().with_ansi(false).finish().try_init(),
    };
    done.map_err(LogError::Twice)?;
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        let payload = info.payload();
        let said = payload.downcast_ref::<&str>().copied();
        let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        tracing::error!(place, panic = said, "panicked");
    }));
    Ok(())
}
