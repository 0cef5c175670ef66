//! Hosts whose supervisor was killed, and the next one.

use anyhow::{Result, ensure};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use stagepages_host::wire::SeqListener;

use crate::cases::Case;
use crate::rig::{Rig, Setup, Talk};
use crate::roles::meet;

pub(crate) const ALL: [(&str, Case); 5] = [
    ("sockets_of_orphans_stay_and_dead_ones_go", sockets),
    ("an_adopted_host_is_killed_told_and_ended_as_any", adopted),
    ("what_is_no_orphan_is_not_adopted", refused),
    (
        "an_orphan_outlives_a_daemon_that_cannot_start",
        daemon_that_cannot_start,
    ),
    ("an_orphan_of_pid_1_ends_with_its_true_status", true_status),
];

const UNSEEN: &str = "ended in a way nobody could see";

/// A supervisor whose predecessor was killed, and left these hosts, with their processes.
fn successor<const N: usize>(ids: [&str; N]) -> Result<(Rig, Talk, [String; N])> {
    let mut rig = Rig::start(10)?;
    let (daemon, _) = rig.serving_daemon()?;
    for id in ids {
        daemon.ask(&format!("spawn {id} serve-all --id={id}"))?;
    }
    rig.kill(&daemon)?;
    rig.start_again()?;
    let (daemon, welcome) = rig.serving_daemon()?;
    ensure!(welcome == "welcome 1", "{welcome}");
    let mut pids = ids.map(|_| String::new());
    for (id, pid) in ids.into_iter().zip(&mut pids) {
        *pid = meet(&rig.socket(id))?.1;
    }
    Ok((rig, daemon, pids))
}

fn adopt(daemon: &Talk, id: &str, pid: &str) -> Result<()> {
    let answer = daemon.ask(&format!("adopt {id} {pid}"))?;
    ensure!(answer == format!("adopted {id} {pid}"), "{answer}");
    Ok(())
}

fn sockets() -> Result<()> {
    let mut rig = Rig::start(10)?;
    let (daemon, _) = rig.serving_daemon()?;
    daemon.ask("spawn a serve-all --id=a")?;
    let (host, pid) = meet(&rig.socket("a"))?;
    rig.kill(&daemon)?;
    drop(SeqListener::bind(&rig.socket("dead"))?);
    std::fs::write(rig.socket("forged"), "no socket")?;
    rig.start_again()?;
    let (daemon, welcome) = rig.serving_daemon()?;
    ensure!(welcome == "welcome 1", "{welcome}");
    let left = ["a", "dead", "forged"].map(|id| rig.socket(id).exists());
    ensure!(left == [true, false, true], "{left:?}");
    drop(host);
    let (host, again) = meet(&rig.socket("a"))?;
    ensure!(again == pid, "{again}, not {pid}");

    // Nobody adopts it, so it is not ours to end; its socket stays with it.
    std::fs::remove_file(rig.socket("forged"))?;
    rig.signal(Signal::SIGTERM)?;
    daemon.expect("sigterm")?;
    daemon.say("exit 0")?;
    let socket = rig.socket("a");
    let (status, _) = rig.ended_with(|| ensure_exists(&socket))?;
    ensure!(status.success(), "{status}");
    ensure!(host.ask("still here")? == "still here");
    host.say("exit 0")?;
    host.expect_gone()
}

fn ensure_exists(socket: &std::path::Path) -> Result<()> {
    ensure!(socket.exists(), "the socket of a living host is gone");
    Ok(())
}

fn adopted() -> Result<()> {
    let (rig, daemon, [a, b, c]) = successor(["a", "b", "c"])?;
    for (id, pid) in [("a", &a), ("b", &b), ("c", &c)] {
        adopt(&daemon, id, pid)?;
    }
    daemon.say("kill a")?;
    daemon.expect(&format!("exited a {UNSEEN}"))?;
    meet(&rig.socket("b"))?.0.say("exit 7")?;
    daemon.expect(&format!("exited b {UNSEEN}"))?;
    let left = ["a", "b", "c"].map(|id| rig.socket(id).exists());
    ensure!(left == [false, false, true], "{left:?}");

    // The next daemon is told as of any other host.
    daemon.say("die")?;
    daemon.expect_gone()?;
    let (daemon, welcome) = rig.serving_daemon()?;
    ensure!(
        welcome == format!("welcome 2 lives c {c} Launch"),
        "{welcome}"
    );
    let (host, _) = meet(&rig.socket("c"))?;
    let pids = daemon.ask("pids")?;
    let (link, parent) = pids.split_once(' ').unwrap_or_default();
    ensure!(
        link == parent,
        "the supervisor is {link}, and the parent {parent}"
    );
    rig.signal(Signal::SIGTERM)?;
    daemon.expect("sigterm")?;
    daemon.say("exit 0")?;
    host.expect_gone()?;
    let (status, left) = rig.ended()?;
    ensure!(status.success() && !left, "{status}, left {left}");
    Ok(())
}

fn refused() -> Result<()> {
    let (rig, daemon, [a]) = successor(["a"])?;
    let refused = |request: &str, id: &str, errno: Errno| -> Result<()> {
        let answer = daemon.ask(request)?;
        let told = format!("refused {id} {}", errno as i32);
        ensure!(answer == told, "{request}: {answer}, not {told}");
        Ok(())
    };
    refused("adopt-file a", "a", Errno::EBADF)?;
    // This process is no host, and that one has another name.
    refused(
        &format!("adopt a {}", std::process::id()),
        "a",
        Errno::EPERM,
    )?;
    refused(&format!("adopt b {a}"), "b", Errno::EPERM)?;
    // Our own child, by its name and by another.
    let spawned = daemon.ask("spawn own serve-all --id=other --id=own")?;
    let own = spawned.rsplit(' ').next().unwrap_or_default();
    refused(&format!("adopt other {own}"), "other", Errno::EEXIST)?;
    refused(&format!("adopt own {own}"), "own", Errno::EEXIST)?;
    adopt(&daemon, "a", &a)?;
    refused(&format!("adopt a {a}"), "a", Errno::EEXIST)?;
    // All are as they were.
    drop(meet(&rig.socket("own"))?);
    let (host, pid) = meet(&rig.socket("a"))?;
    ensure!(pid == a, "{pid}");
    daemon.say("kill a")?;
    host.expect_gone()
}

fn daemon_that_cannot_start() -> Result<()> {
    let mut rig = Rig::start(10)?;
    let (daemon, _) = rig.serving_daemon()?;
    daemon.ask("spawn a serve-all --id=a")?;
    let (host, pid) = meet(&rig.socket("a"))?;
    rig.kill(&daemon)?;
    rig.start_again()?;
    let daemon = rig.daemon()?;
    daemon.ask("link")?;
    adopt(&daemon, "a", &pid)?;
    daemon.say("exit 7")?;
    let status = rig.wait()?;
    ensure!(status.code() == Some(7), "{status}");
    ensure!(host.ask("still here")? == "still here");
    rig.start_again()?;
    let (daemon, _) = rig.serving_daemon()?;
    adopt(&daemon, "a", &pid)?;
    daemon.say("kill a")?;
    host.expect_gone()?;
    daemon.expect(&format!("exited a {UNSEEN}"))
}

fn true_status() -> Result<()> {
    let rig = Rig::with(Setup {
        init: true,
        ..Setup::default()
    })?;
    let (daemon, _) = rig.serving_daemon()?;
    let dir = rig.host_dir();
    for (id, end, told) in [
        ("o1", "exit 7", "exited with code 7"),
        ("o2", "kill", "killed by signal 9 (SIGKILL)"),
    ] {
        // A process that its parent leaves at once: it comes to PID 1, which is the supervisor.
        daemon.ask(&format!("spawn p-{id} beget {id} {}", dir.display()))?;
        daemon.expect(&format!("exited p-{id} exited with code 0"))?;
        let (host, pid) = meet(&rig.socket(id))?;
        adopt(&daemon, id, &pid)?;
        if end == "kill" {
            daemon.say(&format!("kill {id}"))?;
        } else {
            host.say(end)?;
        }
        daemon.expect(&format!("exited {id} {told}"))?;
    }
    // Told once each: the next thing is the answer to this.
    let next = daemon.ask("spawn next exit 1")?;
    ensure!(next.starts_with("spawned next"), "{next}");
    daemon.expect("exited next exited with code 1")?;
    rig.signal(Signal::SIGTERM)?;
    daemon.expect("sigterm")?;
    daemon.say("exit 0")?;
    let (status, left) = rig.ended()?;
    ensure!(status.success() && !left, "{status}, left {left}");
    Ok(())
}
