//! `stagectl launch console`: the guest's serial and debug port on standard output, standard input to its serial port.
//!
//! ```text
//!  stdin ──keyboard (thread)──▶ Console ──▶ printer (thread) ──▶ stdout
//!              └─ Ctrl-] ──────────▶ leave
//! ```
//!
//! Exit status: 0 if the guest stopped as a guest should (HALTED, SHUTDOWN, REQUESTED, EXIT_CODE 0), or if the user left with Ctrl-]; 1 otherwise.
//! What is not output (a gap, a lost connection, how the guest stopped) goes to standard error.
//!
//! JSON, one document a line: `{"offset": 0, "port": "SERIAL", "data": "68656c6c6f"}` (in hex) for output, `{"missed": 12}` for a gap, and
//! `{"launch": …}` at the end.
//!
//! **Invariant:** the terminal is left as it was found, however this ends, but for SIGKILL.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
};

use bytes::Bytes;
use serde_json::json;
use stagepages_client::{
    console::{Console, Event},
    plain,
    session::RetryPolicy,
    v1, words,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::Target,
    cli::Context,
    failure::Failure,
    json::{LaunchDocument, hex},
    output::Output,
};

mod keyboard;
mod printer;
mod terminal;

use printer::Printer;
use terminal::Raw;

/// The command line.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Ctrl-] leaves, and the guest runs on.\n\nExit status: 0 if the guest stopped as HALTED, SHUTDOWN, REQUESTED or EXIT_CODE 0, or if you left; 1 if it stopped otherwise, or the connection was lost for good."
)]
pub(crate) struct Attach {
    #[command(flatten)]
    target: Target,
}

/// What is not output.
#[derive(Debug)]
enum End {
    /// The guest has stopped.
    Over,
    /// The user has left, or nobody reads any more.
    Left,
    /// Told to end.
    Signal(&'static str),
}

impl Attach {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let launch = self.target.launch();
        let client = context.client().await?;
        let (mut console, input) =
            Console::attach(&client, &launch, RetryPolicy::default()).await?;
        let (mut term, mut hup) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        );
        let (printer, printed) = Printer::start()?;
        let (leave, left) = tokio::sync::oneshot::channel();
        let raw = if io::stdin().is_terminal() {
            tell(&format!("attached to {launch}; Ctrl-] leaves"));
            Some(Raw::enter()?)
        } else {
            None
        };
        keyboard::start(input, leave, raw.is_some())?;
        let end = tokio::select! {
            end = follow(&mut console, &printer, context.output) => end?,
            // An end of input is none of the console's.
            Ok(()) = left => End::Left,
            _ = term.recv() => End::Signal("SIGTERM"),
            _ = hup.recv() => End::Signal("SIGHUP"),
        };
        match end {
            End::Over => {}
            End::Left => return Ok(()),
            End::Signal(name) => {
                return Err(Failure::new(
                    format!("ended by {name}"),
                    "the guest runs on; attach again",
                ));
            }
        }
        drop(printer);
        printed.await?;
        drop(raw);
        let ended = client.get_launch(console.launch()).await?;
        if context.output == Output::Json {
            context
                .output
                .line(&Line(json!({"launch": LaunchDocument::from(&ended)})))?;
        }
        verdict(&ended)
    }
}

/// Prints what the console tells until the guest has stopped.
async fn follow(console: &mut Console, printer: &Printer, output: Output) -> Result<End, Failure> {
    while let Some(event) = console.next().await? {
        let line = match event {
            Event::Output { data, .. } if output == Output::Human => data,
            Event::Output { offset, port, data } => json_line(&json!({
                "offset": offset,
                "port": words::console_port(port),
                "data": hex(&data),
            })),
            Event::Missed { bytes } if output == Output::Human => {
                tell(&format!("{bytes} bytes of output are missed"));
                continue;
            }
            Event::Missed { bytes } => json_line(&json!({"missed": bytes})),
            Event::Lost { error } => {
                tell(&format!(
                    "the connection is lost ({}); trying again",
                    plain(&error)
                ));
                continue;
            }
        };
        if !printer.print(line).await {
            return Ok(End::Left);
        }
    }
    Ok(End::Over)
}

/// Says how the guest stopped, and whether that is a success.
fn verdict(launch: &v1::Launch) -> Result<(), Failure> {
    let hint = "see the launch with `stagectl launch get`";
    let Some(cause) = &launch.stop else {
        let what = match &launch.abort {
            Some(cause) => format!(
                "the launch was aborted: {}: {}",
                words::abort_reason(cause.reason),
                cause.message
            ),
            None => "the daemon stopped telling of a guest that has not stopped".to_owned(),
        };
        return Err(Failure::new(what, hint).documented());
    };
    let how = format!("the guest stopped: {}", super::show::stopped(cause));
    if succeeded(cause) {
        tell(&how);
        Ok(())
    } else {
        Err(Failure::new(how, hint).documented())
    }
}

/// Whether a guest stopped as a guest should.
fn succeeded(cause: &v1::StopCause) -> bool {
    use v1::StopReason::{
        ExitCode, Halted, InternalError, MemoryFault, Requested, Shutdown, TripleFault, Unspecified,
    };
    match cause.reason() {
        Halted | Shutdown | Requested => true,
        ExitCode => cause.exit_code == Some(0),
        TripleFault | InternalError | MemoryFault | Unspecified => false,
    }
}

/// A line for the person at the terminal. If nobody reads it, nobody misses it.
fn tell(line: &str) {
    drop(writeln!(io::stderr().lock(), "[{line}]"));
}

fn json_line(value: &serde_json::Value) -> Bytes {
    format!("{value}\n").into()
}

/// A document of one line.
#[derive(serde::Serialize)]
#[serde(transparent)]
struct Line(serde_json::Value);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clean_stop_is_a_success() {
        use v1::StopReason::{
            ExitCode, Halted, InternalError, MemoryFault, Requested, Shutdown, TripleFault,
        };
        let cause = |reason: v1::StopReason, exit_code| v1::StopCause {
            reason: reason.into(),
            exit_code,
            ..v1::StopCause::default()
        };
        for reason in [Halted, Shutdown, Requested] {
            assert!(succeeded(&cause(reason, None)), "{reason:?}");
        }
        assert!(succeeded(&cause(ExitCode, Some(0))));
        assert!(!succeeded(&cause(ExitCode, Some(3))));
        for reason in [TripleFault, InternalError, MemoryFault] {
            assert!(!succeeded(&cause(reason, None)), "{reason:?}");
        }
        let tomorrow = v1::StopCause {
            reason: 99,
            ..v1::StopCause::default()
        };
        assert!(!succeeded(&tomorrow));
    }
}
