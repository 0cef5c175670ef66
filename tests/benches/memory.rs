//! The memory of a process of the product, as the kernel counts it.
//!
//! *Private* memory is what would be free if that process ended: `Private_Clean`, `Private_Dirty` and `Private_Hugetlb` of `/proc/PID/smaps_rollup`.
//!
//! **Invariant:** a peak is the larger of two counts: what sampling saw of private memory, and the high-water mark that the kernel keeps of all resident memory.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use nix::unistd::Pid;

/// The pace of looking. Looking stops the process from changing its memory, for some microseconds.
const PACE: Duration = Duration::from_millis(10);

/// Bytes in a MiB, to divide by.
const MIB: f64 = 1_048_576.0;

/// Private memory of a process, in bytes.
pub(crate) fn private(pid: Pid) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let lines = rollup.lines().filter(|line| line.starts_with("Private_"));
    lines.map(kib).sum()
}

/// Bytes as MiB.
#[expect(clippy::cast_precision_loss, reason = "a figure of four digits")]
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

/// Memory that can be had without swapping, in bytes.
pub(crate) fn available() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap();
    line(&info, "MemAvailable:")
}

/// Watches a process from now on.
#[derive(Debug)]
pub(crate) struct Peak {
    pid: Pid,
    private: u64,
    resident: u64,
    seen: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    watcher: JoinHandle<()>,
}

impl Peak {
    /// Begins to watch `pid`, whose memory is now that of a process with nothing to do.
    pub(crate) fn watch(pid: Pid) -> Self {
        // Sets the high-water mark back to what is resident now (Documentation/filesystems/proc.rst).
        fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
        let (seen, over) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (noted, ended) = (Arc::clone(&seen), Arc::clone(&over));
        let watcher = Builder::new().name("memory".to_owned()).spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                noted.fetch_max(private(pid), Ordering::Relaxed);
                std::thread::sleep(PACE);
            }
        });
        Self {
            pid,
            private: private(pid),
            resident: status(pid, "VmRSS:"),
            seen,
            over,
            watcher: watcher.unwrap(),
        }
    }

    /// The most that it had since, above what it had then, in bytes.
    pub(crate) fn above_idle(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.watcher.join().unwrap();
        let sampled = self.seen.load(Ordering::Relaxed).max(private(self.pid));
        let resident = status(self.pid, "VmHWM:").saturating_sub(self.resident);
        sampled.saturating_sub(self.private).max(resident)
    }
}

fn status(pid: Pid, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    line(&status, field)
}

fn line(text: &str, field: &str) -> u64 {
    kib(text.lines().find(|line| line.starts_with(field)).unwrap())
}

/// The number in `Field:  123 kB`, in bytes.
fn kib(line: &str) -> u64 {
    let number = line.split_whitespace().nth(1).unwrap();
    number.parse::<u64>().unwrap() << 10
}
