//! What this binary does as supervisor, daemon and host.

use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{getpgrp, getpid, getppid};
use rustix::process::{PidfdFlags, pidfd_open};
use stagepages_host::wire::{SeqListener, SeqSocket, take_stdin};
use stagepages_server::daemon::aio::AsyncSeq;
use stagepages_server::daemon::supervisor_link::{
    HostChild, LivingHost, SpawnError, SupervisorLink, Welcome,
};
use stagepages_server::supervisor::{
    self, HostKind, Sockets, SupervisorConfig, SupervisorError, own_program, run, take_over,
};
use tokio::signal::unix::{Signal as Sig, SignalKind, signal};

use crate::rig::Talk;

/// `serve [--take-over] RUNTIME_DIR CONTROL MAX_HOSTS [PLATFORM=PROGRAM…] [VARIABLE…]`
pub(crate) fn serve(args: &[&str]) -> Result<ExitCode> {
    let ended = match args {
        ["--take-over", rest @ ..] => take_over(config(rest)?),
        rest => run(config(rest)?),
    };
    Ok(match ended {
        Ok(code) => code,
        Err(SupervisorError::Unclean { .. }) => ExitCode::from(99),
        Err(SupervisorError::HostProgram(_)) => ExitCode::from(98),
        Err(error) => return Err(error.into()),
    })
}

/// `check-upgrade --state-version=N --running-in=DIR …`, as `serve`
pub(crate) fn check_upgrade(args: &[&str]) -> Result<ExitCode> {
    let [version, running_in, rest @ ..] = args else {
        bail!("check-upgrade with {args:?}");
    };
    let version = version.strip_prefix("--state-version=");
    let running_in = running_in.strip_prefix("--running-in=");
    let (version, running_in) = (version.context("version")?, running_in.context("dir")?);
    supervisor::check_upgrade(&config(rest)?, version.parse()?, Path::new(running_in))?;
    Ok(ExitCode::SUCCESS)
}

fn config(args: &[&str]) -> Result<SupervisorConfig> {
    let [runtime_dir, control, max_hosts, rest @ ..] = args else {
        bail!("serve with {args:?}");
    };
    let programs = rest.iter().filter_map(|entry| {
        let (platform, path) = entry.split_once('=')?;
        Some((platform.to_owned(), PathBuf::from(path)))
    });
    let variables = rest.iter().filter(|entry| !entry.contains('='));
    Ok(SupervisorConfig {
        program: own_program(),
        host_programs: programs.collect(),
        host_env: variables.map(|&name| name.to_owned()).collect(),
        host_args: Vec::new(),
        host_uid: None,
        daemon_args: vec![control.into()],
        serve_args: args.iter().map(Into::into).collect(),
        runtime_dir: PathBuf::from(runtime_dir),
        grace: Duration::ZERO,
        max_hosts: max_hosts.parse()?,
        sockets: Sockets::default(),
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

/// `host exit CODE | shell SCRIPT | serve | serve-all | stubborn | beget ID DIR`, and `--id=ID` anywhere
pub(crate) fn host(args: &[&str]) -> Result<ExitCode> {
    let state = process_state()?;
    let words: Vec<&str> = args
        .iter()
        .copied()
        .filter(|arg| !arg.starts_with("--id="))
        .collect();
    match words.as_slice() {
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
        ["serve-all"] => serve_all(&SeqListener::from(take_stdin()?)),
        ["stubborn"] => {
            SigSet::from(Signal::SIGTERM).thread_block()?;
            let listener = SeqListener::from(take_stdin()?);
            let socket = listener.accept()?;
            socket.send(b"stubborn", &[])?;
            // Whoever connected leaves, and it stays.
            while listener.accept().is_ok() {}
            Ok(ExitCode::FAILURE)
        }
        ["beget", id, dir] => {
            let socket = SeqListener::bind(&Path::new(dir).join(format!("{id}.sock")))?;
            Command::new(std::env::current_exe()?)
                .args(["host", "serve-all", &format!("--id={id}")])
                .stdin(OwnedFd::from(socket))
                .spawn()?;
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("host with {args:?}"),
    }
}

/// Tells whoever connects which process this is, and ends when it is told to.
fn serve_all(listener: &SeqListener) -> Result<ExitCode> {
    loop {
        let socket = listener.accept()?;
        if socket.send(getpid().to_string().as_bytes(), &[]).is_err() {
            // Somebody only looked whether we are there.
            continue;
        }
        while let Ok(Some(frame)) = socket.recv() {
            let line = String::from_utf8(frame.bytes)?;
            if let Some(code) = line.strip_prefix("exit ") {
                return Ok(ExitCode::from(code.parse::<u8>()?));
            }
            socket.send(line.as_bytes(), &[])?;
        }
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
    let first = words(&control).await?;
    let forgetful = first == ["link-forgetful"];
    match first.as_slice() {
        [link] if forgetful || link == "link" => {}
        [first, code] if first == "exit" => return Ok(code.parse()?),
        [first] if first == "garbage" => {
            supervisor.send(&[0xff; 5], &[])?;
            // The supervisor's answer is a signal.
            return Ok(std::future::pending().await);
        }
        other => bail!("first command {other:?}"),
    }
    let (link, welcome) = SupervisorLink::start(supervisor).await?;
    if !forgetful {
        for (id, _) in &welcome.exits {
            link.acknowledge(id).await?;
        }
    }
    say(&control, &describe(&welcome)).await?;
    let daemon = Daemon {
        link,
        control,
        state,
        forgetful,
    };
    for LivingHost { child, .. } in welcome.hosts {
        daemon.tell_exit(child);
    }
    daemon.obey(&mut hangup, &mut terminate).await
}

/// A daemon that is linked.
struct Daemon {
    link: SupervisorLink,
    control: Arc<AsyncSeq>,
    state: String,
    /// Whether it acknowledges no exit.
    forgetful: bool,
}

impl Daemon {
    async fn obey(&self, hangup: &mut Sig, terminate: &mut Sig) -> Result<u8> {
        let mut retired = false;
        loop {
            tokio::select! {
                _ = hangup.recv() => self.say("sighup").await?,
                _ = terminate.recv() => self.say("sigterm").await?,
                () = self.link.retired(), if !retired => {
                    retired = true;
                    self.say("retired").await?;
                }
                () = self.link.closed() => {
                    self.say("supervisor gone").await?;
                    return Ok(0);
                }
                command = words(&self.control) => {
                    if let Some(code) = self.carry_out(&command?).await? {
                        return Ok(code);
                    }
                }
            }
        }
    }

    async fn carry_out(&self, command: &[String]) -> Result<Option<u8>> {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let link = &self.link;
        match command.as_slice() {
            ["ready"] => link.ready().await?,
            ["state"] => self.say(&self.state).await?,
            ["spawn", id, args @ ..] => self.spawn(HostKind::Launch, id, "", args).await?,
            ["probe", id, args @ ..] => self.spawn(HostKind::Probe, id, "", args).await?,
            ["spawn-on", platform, id, args @ ..] => {
                self.spawn(HostKind::Launch, id, platform, args).await?;
            }
            ["spawn-and-leave", id, args @ ..] => {
                let args = args.iter().map(|&arg| arg.to_owned()).collect();
                tokio::select! {
                    biased;
                    spawned = link.spawn_host(id, HostKind::Launch, "", args) => bail!("at once: {spawned:?}"),
                    () = std::future::ready(()) => {}
                }
            }
            ["adopt", id, pid] => {
                let pid = rustix::process::Pid::from_raw(pid.parse()?).context("no pid")?;
                let fd = pidfd_open(pid, PidfdFlags::empty())?;
                let name = id.parse()?;
                let adopted = link.adopt(&name, HostKind::Launch, fd.as_fd()).await;
                self.tell("adopted", id, adopted).await?;
            }
            ["adopt-file", id] => {
                let file = fs::File::open("/dev/null")?;
                let name = id.parse()?;
                let adopted = link.adopt(&name, HostKind::Launch, file.as_fd()).await;
                self.tell("adopted", id, adopted).await?;
            }
            ["pids"] => {
                let pid = link.supervisor_pid();
                self.say(&format!("{pid} {}", getppid())).await?;
            }
            ["pid"] => self.say(&getpid().to_string()).await?,
            ["kill", id] => link.kill_host(id, Signal::SIGKILL).await?,
            ["die"] => kill(getpid(), Signal::SIGKILL)?,
            ["exit", code] => return Ok(Some(code.parse()?)),
            other => bail!("command {other:?}"),
        }
        Ok(None)
    }

    async fn spawn(&self, kind: HostKind, id: &str, platform: &str, args: &[&str]) -> Result<()> {
        let args = args.iter().map(|&arg| arg.replace('_', " ")).collect();
        let spawned = self.link.spawn_host(id, kind, platform, args);
        self.tell("spawned", id, spawned.await).await
    }

    async fn tell(&self, what: &str, id: &str, host: Result<HostChild, SpawnError>) -> Result<()> {
        match host {
            Ok(child) => {
                self.say(&format!("{what} {id} {}", child.pid)).await?;
                self.tell_exit(child);
                Ok(())
            }
            Err(SpawnError::Refused { errno, .. }) => {
                self.say(&format!("refused {id} {errno}")).await
            }
            Err(error) => self.say(&format!("error {error}")).await,
        }
    }

    fn tell_exit(&self, child: HostChild) {
        let (link, control) = (self.link.clone(), Arc::clone(&self.control));
        let forgetful = self.forgetful;
        tokio::spawn(async move {
            let exit = child.exited().await;
            if !forgetful {
                link.acknowledge(&child.id).await?;
            }
            say(&control, &format!("exited {} {exit}", child.id)).await
        });
    }

    async fn say(&self, line: &str) -> Result<()> {
        say(&self.control, line).await
    }
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
