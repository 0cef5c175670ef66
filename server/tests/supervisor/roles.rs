//! What this binary does as supervisor, daemon and host.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{getpgrp, getpid};
use stagepages_host::wire::{SeqListener, SeqSocket, take_stdin};
use stagepages_server::daemon::aio::AsyncSeq;
use stagepages_server::daemon::supervisor_link::{
    HostChild, LivingHost, SpawnError, SupervisorLink, Welcome,
};
use stagepages_server::supervisor::{
    HostKind, SupervisorConfig, SupervisorError, own_program, run,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::rig::Talk;

/// `serve RUNTIME_DIR CONTROL MAX_HOSTS`
pub(crate) fn serve(args: &[&str]) -> Result<ExitCode> {
    let [runtime_dir, control, max_hosts] = args else {
        bail!("serve with {args:?}");
    };
    let ended = run(SupervisorConfig {
        program: own_program(),
        daemon_args: vec![control.into()],
        runtime_dir: PathBuf::from(runtime_dir),
        grace: Duration::ZERO,
        max_hosts: max_hosts.parse()?,
    });
    Ok(match ended {
        Ok(code) => code,
        Err(SupervisorError::Unclean { .. }) => ExitCode::from(99),
        Err(error) => return Err(error.into()),
    })
}

/// `daemon CONTROL`
pub(crate) fn daemon(args: &[&str]) -> Result<ExitCode> {
    let [control] = args else {
        bail!("daemon with {args:?}");
    };
    let state = process_state()?;
    let Ok(control) = SeqSocket::connect(Path::new(control)) else {
        // The case is over.
        return Ok(ExitCode::FAILURE);
    };
    let supervisor = SeqSocket::from(take_stdin()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let code = runtime.block_on(obey(supervisor, control, state))?;
    Ok(ExitCode::from(code))
}

/// `host exit CODE | shell SCRIPT | serve | stubborn`
pub(crate) fn host(args: &[&str]) -> Result<ExitCode> {
    let state = process_state()?;
    match args {
        ["exit", code] => Ok(ExitCode::from(code.parse::<u8>()?)),
        ["shell", script] => Err(Command::new("/bin/sh").args(["-c", script]).exec().into()),
        ["serve"] => {
            let socket = SeqListener::from(take_stdin()?).accept()?;
            socket.send(state.as_bytes(), &[])?;
            while let Some(frame) = socket.recv()? {
                socket.send(&frame.bytes, &[])?;
            }
            Ok(ExitCode::SUCCESS)
        }
        ["stubborn"] => {
            SigSet::from(Signal::SIGTERM).thread_block()?;
            let listener = SeqListener::from(take_stdin()?);
            let socket = listener.accept()?;
            socket.send(b"stubborn", &[])?;
            // Whoever connected leaves, and it stays.
            while listener.accept().is_ok() {}
            Ok(ExitCode::FAILURE)
        }
        _ => bail!("host with {args:?}"),
    }
}

/// `state`: a process that nobody supervises.
pub(crate) fn state() -> Result<ExitCode> {
    std::io::stdout().write_all(process_state()?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// What a process inherited: its signal state, whether it leads a group of its own, its descriptors.
fn process_state() -> Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let masks = status
        .lines()
        .filter(|line| line.starts_with("SigBlk") || line.starts_with("SigIgn"))
        .collect::<Vec<_>>()
        .join(" ");
    let leads = getpgrp() == getpid();
    // One of them is the directory's own.
    let fds = fs::read_dir("/proc/self/fd")?.count() - 1;
    Ok(format!("{masks} leads {leads} fds {fds}"))
}

async fn obey(supervisor: SeqSocket, control: SeqSocket, state: String) -> Result<u8> {
    let control = Arc::new(AsyncSeq::new(control)?);
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    match words(&control).await?.as_slice() {
        [first] if first == "link" => {}
        [first, code] if first == "exit" => return Ok(code.parse()?),
        [first] if first == "garbage" => {
            supervisor.send(&[0xff; 5], &[])?;
            // The supervisor's answer is a signal.
            return Ok(std::future::pending().await);
        }
        other => bail!("first command {other:?}"),
    }
    let (link, welcome) = SupervisorLink::start(supervisor).await?;
    say(&control, &describe(&welcome)).await?;
    for LivingHost { child, .. } in welcome.hosts {
        tell_exit(&control, child);
    }
    loop {
        tokio::select! {
            _ = hangup.recv() => say(&control, "sighup").await?,
            _ = terminate.recv() => say(&control, "sigterm").await?,
            () = link.closed() => {
                say(&control, "supervisor gone").await?;
                return Ok(0);
            }
            command = words(&control) => {
                if let Some(code) = carry_out(&command?, &link, &control, &state).await? {
                    return Ok(code);
                }
            }
        }
    }
}

async fn carry_out(
    command: &[String],
    link: &SupervisorLink,
    control: &Arc<AsyncSeq>,
    state: &str,
) -> Result<Option<u8>> {
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    match command.as_slice() {
        ["ready"] => link.ready().await?,
        ["state"] => say(control, state).await?,
        ["spawn", id, args @ ..] => {
            let args = args.iter().map(|&arg| arg.replace('_', " ")).collect();
            match link.spawn_host(id, HostKind::Launch, args).await {
                Ok(child) => {
                    say(control, &format!("spawned {id} {}", child.pid)).await?;
                    tell_exit(control, child);
                }
                Err(SpawnError::Refused { errno, .. }) => {
                    say(control, &format!("refused {id} {errno}")).await?;
                }
                Err(error) => say(control, &format!("error {error}")).await?,
            }
        }
        ["spawn-and-leave", id, args @ ..] => {
            let args = args.iter().map(|&arg| arg.to_owned()).collect();
            tokio::select! {
                biased;
                spawned = link.spawn_host(id, HostKind::Launch, args) => bail!("at once: {spawned:?}"),
                () = std::future::ready(()) => {}
            }
        }
        ["kill", id] => link.kill_host(id, Signal::SIGKILL).await?,
        ["die"] => kill(getpid(), Signal::SIGKILL)?,
        ["exit", code] => return Ok(Some(code.parse()?)),
        other => bail!("command {other:?}"),
    }
    Ok(None)
}

fn describe(welcome: &Welcome) -> String {
    let mut line = format!("welcome {}", welcome.epoch);
    for LivingHost { kind, child } in &welcome.hosts {
        line += &format!(" lives {} {} {kind:?}", child.id, child.pid);
    }
    for (id, exit) in &welcome.exits {
        line += &format!(" exited {id} {exit}");
    }
    line
}

fn tell_exit(control: &Arc<AsyncSeq>, child: HostChild) {
    let control = Arc::clone(control);
    tokio::spawn(async move {
        let exit = child.exited().await;
        say(&control, &format!("exited {} {exit}", child.id)).await
    });
}

async fn words(control: &AsyncSeq) -> Result<Vec<String>> {
    let Some(frame) = control.recv().await? else {
        // The case is over.
        return Ok(vec!["exit".to_owned(), "0".to_owned()]);
    };
    let line = String::from_utf8(frame.bytes)?;
    Ok(line.split(' ').map(str::to_owned).collect())
}

async fn say(control: &AsyncSeq, line: &str) -> Result<()> {
    Ok(control.send(line.as_bytes(), &[]).await?)
}

/// A host that serves, as a test meets it.
pub(crate) fn meet(path: &Path) -> Result<(Talk, String)> {
    let host = Talk::connect(path)?;
    let said = host.hear()?.context("the host is gone")?;
    Ok((host, said))
}
