//! The claims.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::rig::Rig;
use crate::roles::meet;

pub(crate) type Case = fn() -> Result<()>;

pub(crate) const ALL: [(&str, Case); 11] = [
    ("children_start_with_a_clean_slate", clean_slate),
    ("every_exit_is_told_exactly", exits),
    ("hosts_outlive_their_daemon_and_are_adopted", adoption),
    ("an_exit_that_no_daemon_saw_is_kept_for_the_next", kept_exit),
    (
        "an_exit_that_no_daemon_acknowledged_is_told_to_each",
        unacknowledged,
    ),
    ("a_host_that_nobody_waits_for_is_killed", abandoned_host),
    ("requests_are_refused_by_errno", refusals),
    (
        "a_first_daemon_that_never_served_is_not_restarted",
        never_ready,
    ),
    ("a_daemon_that_breaks_the_protocol_is_replaced", garbage),
    ("sigterm_drains_and_leaves_nothing", drain),
    ("what_does_not_end_is_killed", stubborn),
];

fn clean_slate() -> Result<()> {
    // As the standard library starts a process here, which has no signals to hide; but for those that a shell ignores in what it starts behind itself.
    let plain = Command::new("env")
        .arg("--default-signal")
        .arg(std::env::current_exe()?)
        .arg("state")
        .output()?;
    let plain = String::from_utf8(plain.stdout)?;
    let (signals, _) = plain
        .split_once(" leads ")
        .context("its state is not told")?;
    // Whatever this process was started with, children have the three that every process has.
    let clean = format!("{signals} leads true fds 3");
    ensure!(clean.starts_with("SigBlk:\t0000000000000000 "), "{clean}");

    let rig = Rig::start(10)?;
    let (daemon, welcome) = rig.serving_daemon()?;
    ensure!(welcome == "welcome 1", "{welcome}");
    let state = daemon.ask("state")?;
    ensure!(state == clean, "daemon: {state}, not {clean}");

    daemon.ask("spawn a serve")?;
    let (host, state) = meet(&rig.socket("a"))?;
    ensure!(state == clean, "host: {state}, not {clean}");
    ensure!(host.ask("echo")? == "echo");
    drop(host);
    daemon.expect("exited a exited with code 0")?;

    rig.signal(Signal::SIGHUP)?;
    daemon.expect("sighup")
}

fn exits() -> Result<()> {
    let rig = Rig::start(100)?;
    let (daemon, _) = rig.serving_daemon()?;
    for (id, args, told) in [
        ("zero", "exit 0", "exited with code 0"),
        ("max", "exit 255", "exited with code 255"),
        ("term", "shell kill_$$", "killed by signal 15 (SIGTERM)"),
        ("kill", "shell kill_-9_$$", "killed by signal 9 (SIGKILL)"),
        ("realtime", "shell kill_-40_$$", "killed by signal 40"),
    ] {
        let spawned = daemon.ask(&format!("spawn {id} {args}"))?;
        ensure!(spawned.starts_with(&format!("spawned {id} ")), "{spawned}");
        daemon.expect(&format!("exited {id} {told}"))?;
        ensure!(!rig.socket(id).exists(), "{id}'s socket is left");
    }
    daemon.ask("spawn killed serve")?;
    daemon.say("kill killed")?;
    daemon.expect("exited killed killed by signal 9 (SIGKILL)")?;
    // Nobody is there any more: no error, no answer.
    daemon.say("kill killed")?;
    daemon.say("kill nobody")?;
    let next = daemon.ask("spawn next exit 1")?;
    ensure!(next.starts_with("spawned next"), "{next}");
    Ok(())
}

fn adoption() -> Result<()> {
    let rig = Rig::start(10)?;
    let (daemon, _) = rig.serving_daemon()?;
    let spawned = daemon.ask("spawn a serve")?;
    let pid = spawned.rsplit(' ').next().context("no pid")?.to_owned();
    let (host, _) = meet(&rig.socket("a"))?;
    drop(daemon);
    let (daemon, welcome) = rig.serving_daemon()?;
    ensure!(
        welcome == format!("welcome 2 lives a {pid} Launch"),
        "{welcome}"
    );
    kill_daemon_of(&rig)?;
    daemon.expect_gone()?;
    let (daemon, welcome) = rig.serving_daemon()?;
    ensure!(
        welcome == format!("welcome 3 lives a {pid} Launch"),
        "{welcome}"
    );
    ensure!(host.ask("still here")? == "still here");
    drop(host);
    daemon.expect("exited a exited with code 0")
}

/// From outside, as the out-of-memory killer would.
fn kill_daemon_of(rig: &Rig) -> Result<()> {
    let children = format!("/proc/{0}/task/{0}/children", rig.pid()?);
    let children = std::fs::read_to_string(children)?;
    for child in children.split_whitespace() {
        let role = std::fs::read_to_string(format!("/proc/{child}/cmdline"))?;
        if role.split('\0').nth(1) == Some("daemon") {
            kill(Pid::from_raw(child.parse()?), Signal::SIGKILL)?;
        }
    }
    Ok(())
}

fn kept_exit() -> Result<()> {
    let rig = Rig::start(10)?;
    let (daemon, _) = rig.serving_daemon()?;
    let spawned = daemon.ask("spawn a serve")?;
    let pid = spawned.rsplit(' ').next().context("no pid")?.parse()?;
    let (host, _) = meet(&rig.socket("a"))?;
    daemon.say("die")?;
    daemon.expect_gone()?;

    // The next daemon is there, but has not said hello.
    let daemon = rig.daemon()?;
    kill(Pid::from_raw(pid), Signal::SIGUSR1)?;
    host.expect_gone()?;
    let welcome = daemon.ask("link")?;
    let exited = "exited a killed by signal 10 (SIGUSR1)";
    // A host is gone for its peers a moment before it can be waited for.
    if welcome.starts_with("welcome 2 lives a") {
        let told = daemon.hear()?.context("gone")?;
        ensure!(told.starts_with(exited), "{told}");
    } else {
        ensure!(
            welcome.starts_with(&format!("welcome 2 {exited}")),
            "{welcome}"
        );
    }
    // Acknowledged: the name is free, and a third daemon is not told again.
    let again = daemon.ask("spawn a exit 0")?;
    ensure!(again.starts_with("spawned a"), "{again}");
    daemon.expect("exited a exited with code 0")?;
    daemon.say("ready")?;
    // Behind the acknowledgement.
    daemon.ask("spawn b exit 0")?;
    daemon.expect("exited b exited with code 0")?;
    daemon.ask("spawn c exit 0")?;
    daemon.expect("exited c exited with code 0")?;
    daemon.say("die")?;
    let (_, welcome) = rig.serving_daemon()?;
    ensure!(
        !welcome.contains(" a ") && !welcome.contains(" b "),
        "{welcome}"
    );
    Ok(())
}

fn unacknowledged() -> Result<()> {
    let rig = Rig::start(10)?;
    let daemon = rig.daemon()?;
    ensure!(daemon.ask("link-forgetful")? == "welcome 1");
    daemon.say("ready")?;
    daemon.ask("spawn a exit 3")?;
    daemon.expect("exited a exited with code 3")?;
    let refused = daemon.ask("spawn a exit 3")?;
    let exists = Errno::EEXIST as i32;
    ensure!(refused == format!("refused a {exists}"), "{refused}");
    daemon.say("die")?;
    daemon.expect_gone()?;
    for (epoch, link) in [(2, "link-forgetful"), (3, "link-forgetful"), (4, "link")] {
        let daemon = rig.daemon()?;
        let welcome = daemon.ask(link)?;
        let told = format!("welcome {epoch} exited a exited with code 3");
        ensure!(welcome == told, "{welcome}");
        daemon.say("ready")?;
        daemon.say("die")?;
        daemon.expect_gone()?;
    }
    let (_, welcome) = rig.serving_daemon()?;
    ensure!(welcome == "welcome 5", "{welcome}");
    Ok(())
}

fn abandoned_host() -> Result<()> {
    let rig = Rig::start(10)?;
    let (daemon, _) = rig.serving_daemon()?;
    daemon.say("spawn-and-leave x serve")?;
    // The first of these is answered behind x, the second asked for behind the signal to x.
    for id in ["y", "z"] {
        daemon.ask(&format!("spawn {id} exit 0"))?;
        daemon.expect(&format!("exited {id} exited with code 0"))?;
    }
    daemon.say("die")?;
    daemon.expect_gone()?;
    let (daemon, welcome) = rig.serving_daemon()?;
    if welcome.contains("lives x") {
        daemon.expect("exited x killed by signal 9 (SIGKILL)")?;
    }
    Ok(())
}

fn refusals() -> Result<()> {
    let rig = Rig::start(2)?;
    let (daemon, _) = rig.serving_daemon()?;
    let refused = |request: &str, id: &str, errno: Errno| -> Result<()> {
        let answer = daemon.ask(request)?;
        ensure!(
            answer == format!("refused {id} {}", errno as i32),
            "{answer}"
        );
        Ok(())
    };
    daemon.ask("spawn a serve")?;
    refused("spawn a serve", "a", Errno::EEXIST)?;
    daemon.ask("spawn b serve")?;
    refused("spawn c serve", "c", Errno::EAGAIN)?;
    let bad = daemon.ask("spawn ../c serve")?;
    ensure!(bad.starts_with("error a host id is"), "{bad}");
    daemon.say("kill a")?;
    daemon.expect("exited a killed by signal 9 (SIGKILL)")?;
    std::fs::write(rig.socket("c"), "in the way")?;
    refused("spawn c serve", "c", Errno::EADDRINUSE)?;
    std::fs::remove_file(rig.socket("c"))?;
    let answer = daemon.ask("spawn c serve")?;
    ensure!(answer.starts_with("spawned c"), "{answer}");
    Ok(())
}

fn never_ready() -> Result<()> {
    let rig = Rig::start(10)?;
    rig.daemon()?.say("exit 7")?;
    let (status, left) = rig.ended()?;
    ensure!(status.code() == Some(7) && !left, "{status}, left {left}");
    Ok(())
}

fn garbage() -> Result<()> {
    let rig = Rig::start(10)?;
    let (daemon, _) = rig.serving_daemon()?;
    daemon.ask("spawn a serve")?;
    daemon.say("die")?;
    let daemon = rig.daemon()?;
    daemon.say("garbage")?;
    daemon.expect_gone()?;
    let (daemon, welcome) = rig.serving_daemon()?;
    ensure!(welcome.starts_with("welcome 3 lives a"), "{welcome}");

    // Killed itself, the supervisor takes its daemon along. The answer shows that the daemon is past saying that it serves.
    daemon.ask("state")?;
    rig.signal(Signal::SIGKILL)?;
    daemon.expect("supervisor gone")?;
    daemon.expect_gone()?;
    // Hosts end by their leases, which this one has not.
    drop(meet(&rig.socket("a"))?);
    let (status, _) = rig.ended()?;
    ensure!(status.signal() == Some(9), "{status}");
    Ok(())
}

fn drain() -> Result<()> {
    let rig = Rig::start(10)?;
    let (daemon, _) = rig.serving_daemon()?;
    daemon.ask("spawn a serve")?;
    let (host, _) = meet(&rig.socket("a"))?;
    rig.signal(Signal::SIGTERM)?;
    daemon.expect("sigterm")?;
    let refused = daemon.ask("spawn b serve")?;
    let shutdown = Errno::ESHUTDOWN as i32;
    ensure!(refused == format!("refused b {shutdown}"), "{refused}");
    ensure!(host.ask("until the end")? == "until the end");
    daemon.say("exit 0")?;
    daemon.expect_gone()?;
    host.expect_gone()?;
    let (status, left) = rig.ended()?;
    ensure!(status.success() && !left, "{status}, left {left}");
    Ok(())
}

fn stubborn() -> Result<()> {
    let rig = Rig::start(10)?;
    let (daemon, _) = rig.serving_daemon()?;
    daemon.ask("spawn a stubborn")?;
    let (host, _) = meet(&rig.socket("a"))?;
    rig.signal(Signal::SIGINT)?;
    daemon.expect("sigterm")?;
    // It does not end, so it is killed behind its grace, and then the host behind its own.
    daemon.expect_gone()?;
    host.expect_gone()?;
    let (status, left) = rig.ended()?;
    ensure!(status.code() == Some(99) && !left, "{status}, left {left}");
    Ok(())
}
