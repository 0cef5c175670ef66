//! The trace: one line, one `write`.
//!
//! **Invariant:** nothing is written but to the file that was there at first; if its number means another file by now, the process ends.

use std::sync::atomic::{AtomicU64, Ordering};

use stagepages_kernel_model::world::FileId;
use stagepages_kernel_model::{Event, What};

use crate::memfd;
use crate::real;
use crate::state::die;

const TRACE: &str = "STAGEPAGES_MODEL_TRACE";

/// Where events go, if anywhere.
pub(crate) struct Trace {
    target: Option<(i32, FileId)>,
    seq: AtomicU64,
}

impl Trace {
    /// The descriptor that the environment names.
    pub(crate) fn inherited() -> Self {
        let target = std::env::var_os(TRACE).map(|number| {
            let number = number
                .to_str()
                .and_then(|number| number.parse::<i32>().ok());
            match number.and_then(|fd| appended(fd).map(|file| (fd, file))) {
                Some(target) => target,
                None => die(&format!(
                    "{TRACE} is not the number of a regular file that is open for appending"
                )),
            }
        });
        Self {
            target,
            seq: AtomicU64::new(0),
        }
    }

    /// Writes one line. Lines of several threads may change places; `seq` tells their order.
    pub(crate) fn tell(&self, what: What) {
        let Some((fd, file)) = self.target else {
            return;
        };
        let event = Event {
            pid: std::process::id(),
            tid: thread_id(),
            seq: self.seq.fetch_add(1, Ordering::Relaxed),
            what,
        };
        let mut line = match serde_json::to_vec(&event) {
            Ok(line) => line,
            Err(error) => die(&format!("an event is no JSON: {error}")),
        };
        line.push(b'\n');
        if memfd::identify(fd) != Some(file) {
            die(&format!(
                "descriptor {fd} was the trace, and is now another file"
            ));
        }
        // SAFETY: reads `line`'s bytes, which live until the call returns.
        let written = unsafe { libc::write(fd, line.as_ptr().cast(), line.len()) };
        if usize::try_from(written) != Ok(line.len()) {
            die(&format!(
                "the trace cannot be written: {}",
                std::io::Error::last_os_error()
            ));
        }
    }
}

/// Which file a number means, if it is a regular one that is open for appending.
fn appended(fd: i32) -> Option<FileId> {
    // SAFETY: touches no memory.
    let flags = unsafe { real::fcntl()(fd, libc::F_GETFL) };
    let status = memfd::status(fd)?;
    let is_regular = status.st_mode & libc::S_IFMT == libc::S_IFREG;
    (flags >= 0 && flags & libc::O_APPEND != 0 && is_regular).then_some(FileId {
        dev: status.st_dev,
        ino: status.st_ino,
    })
}

fn thread_id() -> u32 {
    // SAFETY: touches no memory.
    let tid = unsafe { libc::gettid() };
    tid.unsigned_abs()
}
