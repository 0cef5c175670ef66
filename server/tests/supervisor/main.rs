//! The supervisor with real processes: this binary is supervisor, daemon, host and tests, by its first argument.
//!
//! The daemon here does what a test tells it over a control socket, one line a frame, and says what it sees; it speaks to its supervisor
//! through the daemon's own [`SupervisorLink`](stagepages_server::daemon::supervisor_link::SupervisorLink). Nothing sleeps: a test waits for
//! what it was told, with a bound that only a failure reaches.
#![forbid(unsafe_code)]

mod cases;
mod environment;
mod orphans;
mod programs;
mod rig;
mod roles;
mod upgrade;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["serve", rest @ ..] => roles::serve(rest),
        ["daemon", rest @ ..] => roles::daemon(rest),
        ["host", rest @ ..] => roles::host(rest),
        ["check-upgrade", rest @ ..] => roles::check_upgrade(rest),
        ["state"] => roles::state(),
        filter => run_cases(filter),
    }
}

/// All cases whose name contains an argument, or all, at once: they mostly wait.
fn run_cases(filter: &[&str]) -> Result<ExitCode> {
    let words: Vec<_> = filter.iter().filter(|arg| !arg.starts_with('-')).collect();
    let chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(**word));
    let mut failed = 0;
    std::thread::scope(|scope| -> Result<()> {
        let all = [
            cases::ALL.as_slice(),
            environment::ALL.as_slice(),
            orphans::ALL.as_slice(),
            programs::ALL.as_slice(),
            upgrade::ALL.as_slice(),
        ];
        let running: Vec<_> = all
            .into_iter()
            .flatten()
            .filter(|(name, _)| chosen(name))
            .map(|(name, case)| (name, scope.spawn(case)))
            .collect();
        let mut out = std::io::stdout().lock();
        for (name, case) in running {
            match case.join() {
                Ok(Ok(())) => writeln!(out, "test {name} ... ok")?,
                Ok(Err(error)) => {
                    failed += 1;
                    writeln!(out, "test {name} ... FAILED\n    {error:#}")?;
                }
                Err(_) => {
                    failed += 1;
                    writeln!(out, "test {name} ... FAILED (panicked)")?;
                }
            }
        }
        Ok(())
    })?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
