//! What defaults depend on besides the environment.
//!
//! **Invariant:** read once, at start.

use std::{fs, io};

/// Where the kernel says how much memory there is.
pub(super) const MEMINFO: &str = "/proc/meminfo";

/// Who runs the daemon, on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Effective user id.
    pub uid: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

impl Machine {
    /// This process on this machine.
    pub(super) fn this() -> io::Result<Self> {
        let text = fs::read_to_string(MEMINFO)?;
        let memory_bytes = mem_total(&text).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "no line \"MemTotal: N kB\"")
        })?;
        Ok(Self {
            uid: nix::unistd::geteuid().as_raw(),
            memory_bytes,
        })
    }
}

/// `MemTotal:       16315980 kB`, in bytes.
fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_in_kib() {
        assert_eq!(
            mem_total("MemTotal:       16 kB\nMemFree: 1 kB\n"),
            Some(16384)
        );
        assert_eq!(mem_total("MemFree: 1 kB\n"), None);
        assert!(
            Machine::this()
                .expect("this machine has memory")
                .memory_bytes
                > 0
        );
    }
}
