//! What hosts find in their environment.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::cases::Case;
use crate::rig::{Rig, Setup, Talk, install};
use crate::roles::meet;

pub(crate) const ALL: [(&str, Case); 2] = [
    ("hosts_start_with_an_empty_environment", empty),
    ("hosts_get_the_variables_that_are_named", named),
];

/// What supervisor and daemon have. The value is one that a naive parser would cut.
const GIVEN: [(&str, &str); 3] = [("A_1", "b=c\nd"), ("SECRET", "s"), ("_x", "")];

fn rig(host_env: &[&str]) -> Result<Rig> {
    Rig::with(Setup {
        own_copy: true,
        environment: GIVEN.to_vec(),
        host_env: host_env.iter().map(|&name| name.to_owned()).collect(),
        ..Setup::default()
    })
}

/// Which variables a process has, as `NAME=value`.
fn environment(pid: &str) -> Result<BTreeSet<String>> {
    let all = std::fs::read(format!("/proc/{pid}/environ"))?;
    let all = String::from_utf8(all)?;
    Ok(all.split_terminator('\0').map(str::to_owned).collect())
}

/// Starts a host by `command`, and sees what it has when it serves.
fn of_host(rig: &Rig, daemon: &Talk, command: &str, id: &str) -> Result<BTreeSet<String>> {
    let spawned = daemon.ask(&format!("{command} {id} serve"))?;
    let (_, pid) = spawned.rsplit_once(' ').context("no pid")?;
    let (host, _) = meet(&rig.socket(id))?;
    let found = environment(pid)?;
    drop(host);
    daemon.expect(&format!("exited {id} exited with code 0"))?;
    Ok(found)
}

fn of_daemon(daemon: &Talk) -> Result<BTreeSet<String>> {
    environment(&daemon.ask("pid")?)
}

fn empty() -> Result<()> {
    let rig = rig(&[])?;
    let (daemon, _) = rig.serving_daemon()?;
    for (command, id) in [("spawn", "a"), ("probe", "b")] {
        let found = of_host(&rig, &daemon, command, id)?;
        ensure!(found.is_empty(), "{command}: {found:?}");
    }
    Ok(())
}

fn named() -> Result<()> {
    // One of them is not set.
    let rig = rig(&["A_1", "_x", "NOWHERE"])?;
    let chosen = BTreeSet::from(["A_1=b=c\nd".to_owned(), "_x=".to_owned()]);
    let (daemon, _) = rig.serving_daemon()?;
    let all = of_daemon(&daemon)?;
    ensure!(
        all.is_superset(&chosen) && all.contains("SECRET=s"),
        "{all:?}"
    );
    ensure!(
        all.len() > GIVEN.len(),
        "this test has variables itself: {all:?}"
    );
    for (command, id) in [("spawn", "a"), ("probe", "b")] {
        let found = of_host(&rig, &daemon, command, id)?;
        ensure!(found == chosen, "{command}: {found:?}");
    }

    let build = rig.file("new");
    install(&rig.program(), &build)?;
    rig.replace_program(&build)?;
    rig.signal(Signal::SIGUSR2)?;
    daemon.expect("retired")?;
    daemon.say("exit 0")?;
    daemon.expect_gone()?;
    let (next, _) = rig.serving_daemon()?;
    let upgraded = environment(&rig.pid()?.to_string())?;
    ensure!(upgraded == all && of_daemon(&next)? == all, "{upgraded:?}");
    let found = of_host(&rig, &next, "spawn", "c")?;
    ensure!(found == chosen, "after an upgrade: {found:?}");
    Ok(())
}
