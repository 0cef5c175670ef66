//! What lives of a daemon's process tree, found in /proc.
//!
//! The supervisor leads a process group of its own, and every process of the tree is handed the daemon's directory; either mark is enough.
//!
//! **Invariant:** a process that bears neither mark is never counted, so suites can run side by side.
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::unistd::Pid;

/// A living process of the tree.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) pid: Pid,
    command: String,
}

impl Member {
    /// What an argument says that begins with `flag`.
    pub(crate) fn argument(&self, flag: &str) -> Option<&str> {
        let mut words = self.command.split(' ');
        words.find_map(|word| word.strip_prefix(flag))
    }

    /// Whether the process runs `stagepagesd` in this role.
    pub(crate) fn has_role(&self, role: &str) -> bool {
        self.role() == role
    }

    /// The role in which the process runs `stagepagesd`.
    pub(crate) fn role(&self) -> &str {
        self.command.split(' ').nth(1).unwrap_or_default()
    }
}

/// Every living process of the group that `leader` leads, or whose command line or environment names `dir`.
pub(crate) fn members(leader: Pid, dir: &Path) -> Vec<Member> {
    let mark = dir.as_os_str().as_bytes();
    let own = Pid::this();
    fs::read_dir("/proc")
        .expect("/proc is mounted")
        .filter_map(|entry| {
            entry
                .ok()?
                .file_name()
                .to_str()?
                .parse()
                .ok()
                .map(Pid::from_raw)
        })
        .filter(|pid| *pid != own)
        .filter_map(|pid| member(pid, leader, mark))
        .collect()
}

/// A process may end at any point in here; then it is no member.
fn member(pid: Pid, leader: Pid, mark: &[u8]) -> Option<Member> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may contain some itself: "PID (NAME) STATE PPID PGRP …".
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let group: i32 = fields.nth(1)?.parse().ok()?;
    // A zombie holds nothing any more, and who reaps an orphan is not the product's choice.
    if state == "Z" || state == "X" {
        return None;
    }
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let marked = [&command, &environment]
        .iter()
        .any(|text| text.windows(mark.len()).any(|part| part == mark));
    (group == leader.as_raw() || marked).then(|| Member {
        pid,
        command: String::from_utf8_lossy(&command).replace('\0', " "),
    })
}
