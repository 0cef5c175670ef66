//! What a tree leaves behind besides processes: sockets, half-written files, and memory that somebody still holds.
//!
//! **Invariant:** shared memory is known by its inode, so that of a neighbouring test is never counted.
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use crate::daemon::Daemon;
use crate::process_tree::Member;

/// The memory files that processes have open: staging memory, simulated guests, guest_memfds.
#[derive(Debug)]
pub struct SharedMemory(BTreeSet<(u64, u64)>);

impl SharedMemory {
    /// All that one process holds.
    ///
    /// # Panics
    /// If that is nothing.
    #[must_use]
    pub fn held_by(process: Pid) -> Self {
        let held = descriptors(Path::new(&format!("/proc/{process}")));
        assert!(!held.is_empty(), "process {process} holds no memory");
        Self(held.into_iter().map(|(inode, _)| inode).collect())
    }

    /// All that `members` hold.
    pub(crate) fn of(members: &[Member]) -> Self {
        let held = members
            .iter()
            .flat_map(|member| descriptors(Path::new(&format!("/proc/{}", member.pid))));
        Self(held.map(|(inode, _)| inode).collect())
    }

    /// Every process that holds any of it.
    ///
    /// # Panics
    /// If there is no /proc.
    #[must_use]
    pub fn holders(&self) -> Vec<(PathBuf, PathBuf)> {
        let processes = fs::read_dir("/proc").expect("/proc is mounted");
        let processes = processes.filter_map(|entry| Some(entry.ok()?.path()));
        processes
            .flat_map(|process| {
                let held = descriptors(&process).into_iter();
                let held = held.filter(|(inode, _)| self.0.contains(inode));
                held.map(move |(_, name)| (process.clone(), name))
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}

/// The memory files among the descriptors of a process: inode and name. A process may end at any point in here; then it holds nothing.
fn descriptors(process: &Path) -> Vec<((u64, u64), PathBuf)> {
    let Ok(entries) = fs::read_dir(process.join("fd")) else {
        return Vec::new();
    };
    let memory = |path: PathBuf| {
        let name = fs::read_link(&path).ok()?;
        let text = name.to_string_lossy();
        if !text.contains("memfd:stagepages") && !text.contains("kvm-gmem") {
            return None;
        }
        let file = fs::metadata(&path).ok()?;
        Some(((file.dev(), file.ino()), name))
    };
    entries
        .filter_map(|entry| memory(entry.ok()?.path()))
        .collect()
}

impl Daemon {
    /// Sockets that nobody serves any more, and files that were never finished. For a tree that has ended.
    pub(crate) fn sockets_and_scraps(&self) -> Vec<PathBuf> {
        let mut left = Vec::new();
        let mut look = vec![self.dir().to_owned()];
        while let Some(dir) = look.pop() {
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                let (path, name) = (entry.path(), entry.file_name());
                let name = name.to_string_lossy();
                let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_dir && name != "h" {
                    look.push(path);
                } else if name == "h"
                    || name == "api.sock"
                    || name == "status.sock"
                    || name.starts_with(".new-")
                    || name.starts_with(".tmp")
                    || name == "epoch.new"
                {
                    left.push(path);
                }
            }
        }
        left
    }
}
