//! Processes that stand still.
//!
//! **Invariant:** whoever has halted one finds that nothing in it runs. A signal alone does not make it so: one thread takes it, when it has its turn on a
//! processor, and until then the others go on.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::LONG;

/// Stops a process, until somebody sends it SIGCONT or an end.
///
/// # Panics
/// If there is none, or it runs on.
pub fn halt(process: Pid) {
    kill(process, Signal::SIGSTOP).unwrap();
    let deadline = Instant::now() + LONG;
    while !stands_still(process) {
        assert!(Instant::now() < deadline, "process {process} runs on");
        // The pace of asking.
        sleep(Duration::from_millis(1));
    }
}

/// Whether none of its threads runs, or is about to: proc_pid_stat(5), the field behind the name.
fn stands_still(process: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.flatten().all(|thread| {
        // One that is gone meanwhile does not run.
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
        matches!(state, None | Some(b'T' | b'Z' | b'X'))
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_halted_stands_still_until_it_goes_on() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let process = Pid::from_raw(child.id().try_into().unwrap());
        assert!(!stands_still(process));
        halt(process);
        assert!(stands_still(process));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
