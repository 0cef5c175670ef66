//! Structured logs to stderr, as text for people or as one JSON object per line.
//!
//! All three roles share one stderr, so each line says which role wrote it.
//!
//! **Invariant:** nothing is written to stdout, and colours only to a terminal.

use std::{any::Any, fmt, io, io::IsTerminal, panic, str::FromStr};

use clap::ValueEnum;
use serde::Deserialize;
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext,
        format::{FormatEvent, FormatFields, Writer},
    },
    registry::LookupSpan,
    util::TryInitError,
};

use crate::{config::values::ValueError, rpc::status::printable};

/// Which process of the three this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `stagepagesd serve`.
    Supervisor,
    /// The daemon.
    Daemon,
    /// A launch host.
    Host,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Daemon => "daemon",
            Self::Host => "host",
        }
    }
}

/// How lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One object per line
    Json,
}

impl FromStr for LogFormat {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(ValueError::Format(printable(text, 64))),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not understood.
    #[error("log filter {filter:?} is not understood")]
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

/// Logs to stderr from now on, panics included. `filter` is read as by tracing-subscriber's EnvFilter.
///
/// # Errors
/// A filter that is not understood, or a second call.
pub fn init(role: Role, filter: &str, format: LogFormat) -> Result<(), LogError> {
    use tracing_subscriber::util::SubscriberInitExt;

    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|source| LogError::Filter {
            filter: printable(filter, 200),
            source,
        })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let done = match format {
        LogFormat::Text => builder
            .with_ansi(io::stderr().is_terminal())
            .map_event_format(|inner| Text { role, inner })
            .finish()
            .try_init(),
        LogFormat::Json => builder
            .json()
            .with_ansi(false)
            .map_event_format(|inner| Json { role, inner })
            .finish()
            .try_init(),
    };
    done.map_err(LogError::Twice)?;
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        let said = panic_message(info.payload());
        tracing::error!(place, panic = said, "panicked");
    }));
    Ok(())
}

/// What a panic said.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Puts the role before the line.
struct Text<F> {
    role: Role,
    inner: F,
}

impl<S, N, F> FormatEvent<S, N> for Text<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "{:<10} ", self.role.as_str())?;
        self.inner.format_event(ctx, writer, event)
    }
}

/// Puts the role first into the object.
struct Json<F> {
    role: Role,
    inner: F,
}

impl<S, N, F> FormatEvent<S, N> for Json<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut object = String::new();
        self.inner
            .format_event(ctx, Writer::new(&mut object), event)?;
        match object.strip_prefix('{') {
            Some(members) => write!(writer, "{{\"role\":\"{}\",{members}", self.role.as_str()),
            None => writer.write_str(&object),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("no panic").clone()).expect("is text")
        }
    }

    #[test]
    fn each_line_names_its_role() {
        let lines = Lines::default();
        let writer = lines.clone();
        let text = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .map_event_format(|inner| Text {
                role: Role::Daemon,
                inner,
            });
        tracing::subscriber::with_default(text.finish(), || tracing::info!(pages = 3, "staged"));
        let line = lines.text();
        assert!(line.starts_with("daemon     "), "{line}");
        assert!(line.contains("staged pages=3"), "{line}");
    }

    #[test]
    fn json_lines_are_objects_with_their_role() {
        let lines = Lines::default();
        let writer = lines.clone();
        let json = tracing_subscriber::fmt()
            .json()
            .with_writer(move || writer.clone())
            .map_event_format(|inner| Json {
                role: Role::Host,
                inner,
            });
        tracing::subscriber::with_default(json.finish(), || tracing::info!(pages = 3, "staged"));
        let line = lines.text();
        assert!(
            line.starts_with("{\"role\":\"host\",\"timestamp\":\""),
            "{line}"
        );
        assert!(
            line.contains("\"message\":\"staged\",\"pages\":3"),
            "{line}"
        );
        assert!(line.ends_with("}\n"), "{line}");
    }

    #[test]
    fn a_bad_filter_is_named() {
        let error = init(Role::Host, "a=b=c", LogFormat::Text).expect_err("is refused");
        assert!(error.to_string().contains("\"a=b=c\""), "{error}");
    }
}
