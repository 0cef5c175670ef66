//! The supervisor replaces itself.

use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use rustix::process::{PidfdFlags, pidfd_open};

use crate::cases::Case;
use crate::rig::{Rig, Setup, Talk, install};
use crate::roles::meet;

pub(crate) const ALL: [(&str, Case); 5] = [
    ("an_upgrade_keeps_process_children_and_exits", upgrade),
    ("pid_1_is_upgraded_too", as_init),
    ("an_upgrade_keeps_adopted_hosts", adopted),
    ("a_bad_candidate_changes_nothing", bad_candidates),
    ("a_candidate_that_hangs_is_killed", hanging_candidate),
];

fn rig(init: bool) -> Result<Rig> {
    Rig::with(Setup {
        own_copy: true,
        init,
        ..Setup::default()
    })
}

/// Another file with the same build in it.
fn new_build(rig: &Rig) -> Result<PathBuf> {
    let build = rig.file("new");
    install(&rig.program(), &build)?;
    Ok(build)
}

fn runs(rig: &Rig) -> Result<u64> {
    Rig::inode_of(&PathBuf::from(format!("/proc/{}/exe", rig.pid()?)))
}

fn open_files(rig: &Rig) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{}/fd", rig.pid()?))?.count())
}

fn upgrade() -> Result<()> {
    keeps_everything(&rig(false)?)
}

fn as_init() -> Result<()> {
    keeps_everything(&rig(true)?)
}

fn keeps_everything(rig: &Rig) -> Result<()> {
    let daemon = rig.daemon()?;
    let (old, before) = (rig.pid()?, runs(rig)?);
    daemon.ask("link-forgetful")?;
    daemon.say("ready")?;
    let (slate, open) = (daemon.ask("state")?, open_files(rig)?);
    let spawned = daemon.ask("spawn a serve")?;
    let pid = spawned.rsplit(' ').next().context("no pid")?.to_owned();
    let (host, _) = meet(&rig.socket("a"))?;
    daemon.ask("spawn gone exit 3")?;
    daemon.expect("exited gone exited with code 3")?;

    let build = new_build(rig)?;
    let new = Rig::inode_of(&build)?;
    rig.replace_program(&build)?;
    rig.signal(Signal::SIGUSR2)?;
    daemon.expect("retired")?;
    ensure!((rig.pid()?, runs(rig)?) == (old, new) && new != before);
    // A second one, while the old daemon still drains, is harmless.
    rig.signal(Signal::SIGUSR2)?;
    // The old daemon is served until it ends; and what ends meanwhile is told to it.
    daemon.ask("spawn late exit 4")?;
    daemon.expect("exited late exited with code 4")?;
    ensure!(host.ask("still here")? == "still here");
    daemon.say("exit 0")?;

    let daemon = rig.daemon()?;
    let welcome = daemon.ask("link")?;
    let told = format!(
        "welcome 2 lives a {pid} Launch exited gone exited with code 3 exited late exited with code 4"
    );
    ensure!(welcome == told, "{welcome}");
    daemon.say("ready")?;
    ensure!(host.ask("still here")? == "still here");
    drop(host);
    daemon.expect("exited a exited with code 0")?;

    // And again; this time the daemon does not end by itself, and is killed behind its grace.
    daemon.ask("spawn b serve")?;
    let (host, _) = meet(&rig.socket("b"))?;
    rig.signal(Signal::SIGUSR2)?;
    daemon.expect("retired")?;
    daemon.expect_gone()?;
    let (daemon, welcome) = rig.serving_daemon()?;
    ensure!(welcome.starts_with("welcome 3 lives b "), "{welcome}");
    ensure!(rig.pid()? == old);
    // What a child starts with is as ever, and nothing has piled up here.
    let state = daemon.ask("state")?;
    ensure!(state == slate, "{state}, not {slate}");
    let now = open_files(rig)?;
    // What the supervisor was started with beside its own is nothing for the next build either.
    ensure!(now <= open, "{now} open files, not {open}");
    rig.signal(Signal::SIGHUP)?;
    daemon.expect("sighup")?;
    rig.signal(Signal::SIGTERM)?;
    daemon.expect("sigterm")?;
    daemon.say("exit 0")?;
    host.expect_gone()
}

fn adopted() -> Result<()> {
    let mut rig = rig(false)?;
    let (daemon, _) = rig.serving_daemon()?;
    daemon.ask("spawn a serve-all --id=a")?;
    let (host, pid) = meet(&rig.socket("a"))?;
    rig.kill(&daemon)?;
    rig.start_again()?;
    let (daemon, _) = rig.serving_daemon()?;
    daemon.ask(&format!("adopt a {pid}"))?;
    rig.signal(Signal::SIGUSR2)?;
    daemon.expect("retired")?;
    daemon.say("exit 0")?;
    let (daemon, welcome) = rig.serving_daemon()?;
    ensure!(
        welcome == format!("welcome 2 lives a {pid} Launch"),
        "{welcome}"
    );
    ensure!(host.ask("still here")? == "still here");
    daemon.say("kill a")?;
    host.expect_gone()?;
    daemon.expect("exited a ended in a way nobody could see")
}

/// A candidate that is this script; it tells through a FIFO that it was started.
fn script(rig: &Rig, body: &str) -> Result<PathBuf> {
    let (candidate, asked) = (rig.file("script"), rig.file("asked"));
    if !asked.exists() {
        mkfifo(&asked, Mode::S_IRWXU)?;
    }
    let text = format!("#!/bin/sh\necho $$ > {}\n{body}\n", asked.display());
    let source = rig.file("source");
    std::fs::write(&source, text)?;
    install(&source, &candidate)?;
    Ok(candidate)
}

/// Waits until the candidate was asked and has ended.
fn candidate_ended(rig: &Rig) -> Result<()> {
    let pid: i32 = std::fs::read_to_string(rig.file("asked"))?.trim().parse()?;
    let pid = rustix::process::Pid::from_raw(pid).context("no pid")?;
    // One that was reaped already has ended.
    if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) {
        let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        ensure!(
            poll(&mut fds, PollTimeout::from(40_000_u16))? == 1,
            "it lives"
        );
    }
    Ok(())
}

/// The supervisor and its daemon are as they were, also a turn after whatever it saw last.
fn nothing_changed(rig: &Rig, daemon: &Talk, before: (u32, u64)) -> Result<()> {
    for id in ["x", "y"] {
        daemon.ask(&format!("spawn {id} exit 0"))?;
        daemon.expect(&format!("exited {id} exited with code 0"))?;
    }
    ensure!((rig.pid()?, runs(rig)?) == before, "it became another");
    Ok(())
}

fn bad_candidates() -> Result<()> {
    let rig = rig(false)?;
    let (daemon, _) = rig.serving_daemon()?;
    let before = (rig.pid()?, runs(&rig)?);
    daemon.ask("spawn a serve")?;
    let (host, _) = meet(&rig.socket("a"))?;
    let good = new_build(&rig)?;

    // None at all.
    std::fs::remove_file(rig.program())?;
    rig.signal(Signal::SIGUSR2)?;
    nothing_changed(&rig, &daemon, before)?;
    // It refuses, it dies, it is replaced while it is asked.
    let replace = format!("mv {0} {0}.old; cp {0}.old {0}", rig.program().display());
    for body in ["exit 1", "kill -9 $$", replace.as_str()] {
        rig.replace_program(&script(&rig, body)?)?;
        rig.signal(Signal::SIGUSR2)?;
        candidate_ended(&rig)?;
        nothing_changed(&rig, &daemon, before)?;
    }
    ensure!(host.ask("still here")? == "still here");
    // And a good one is taken still.
    rig.replace_program(&good)?;
    rig.signal(Signal::SIGUSR2)?;
    daemon.expect("retired")?;
    daemon.say("exit 0")?;
    let (_, welcome) = rig.serving_daemon()?;
    ensure!(welcome.starts_with("welcome 2 lives a"), "{welcome}");
    ensure!(host.ask("still here")? == "still here");
    Ok(())
}

fn hanging_candidate() -> Result<()> {
    let rig = rig(false)?;
    let (daemon, _) = rig.serving_daemon()?;
    let before = (rig.pid()?, runs(&rig)?);
    rig.replace_program(&script(&rig, "exec tail -f /dev/null")?)?;
    rig.signal(Signal::SIGUSR2)?;
    candidate_ended(&rig)?;
    nothing_changed(&rig, &daemon, before)
}
