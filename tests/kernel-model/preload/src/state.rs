//! What this process has of the model: nothing, or a machine and a trace.
//!
//! **Invariant:** loaded once, by the first call that needs it; a script or a trace that cannot be used ends the process.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use stagepages_kernel_model::{Machine, Script};

use crate::locked::LockedRanges;
use crate::real;
use crate::trace::Trace;

const SCRIPT: &str = "STAGEPAGES_MODEL";

/// The model in this process.
pub(crate) struct Loaded {
    /// The process that loaded it. A forked child has a copy, whose locks another thread may have held.
    pub(crate) pid: u32,
    pub(crate) machine: Machine,
    pub(crate) trace: Trace,
    pub(crate) locked: LockedRanges,
}

static LOADED: OnceLock<Option<Loaded>> = OnceLock::new();
// Set after LOADED, so that calls which can only be about the model's own descriptors need no lock to learn that there are none.
static HAS_OBJECTS: AtomicBool = AtomicBool::new(false);

/// The model, loaded now if it was not. `None` without a script.
pub(crate) fn loaded() -> Option<&'static Loaded> {
    LOADED.get_or_init(load).as_ref()
}

/// The model, if this process has opened anything of it.
pub(crate) fn in_use() -> Option<&'static Loaded> {
    if HAS_OBJECTS.load(Ordering::Acquire) {
        LOADED.get()?.as_ref()
    } else {
        None
    }
}

/// The process has a descriptor of the model from now on.
pub(crate) fn mark_in_use() {
    HAS_OBJECTS.store(true, Ordering::Release);
}

fn load() -> Option<Loaded> {
    let path = std::env::var_os(SCRIPT)?;
    let shown = path.display();
    let mut name = path.as_bytes().to_vec();
    name.push(0);
    let opened = CStr::from_bytes_with_nul(&name).map_err(std::io::Error::other);
    let mut file = match opened.and_then(open) {
        Ok(file) => file,
        Err(error) => die(&format!("{SCRIPT}={shown}: {error}")),
    };
    let smaps = match open(c"/proc/self/smaps") {
        Ok(file) => file,
        Err(error) => die(&format!("/proc/self/smaps: {error}")),
    };
    let mut json = String::new();
    if let Err(error) = file.read_to_string(&mut json) {
        die(&format!("{SCRIPT}={shown}: {error}"));
    }
    match Script::parse(&json) {
        Ok(script) => Some(Loaded {
            pid: std::process::id(),
            machine: Machine::new(script),
            trace: Trace::inherited(),
            locked: LockedRanges::new(smaps),
        }),
        Err(error) => die(&format!("{SCRIPT}={shown}: {error}")),
    }
}

/// Opens a file by the original: this library's would come back here.
fn open(path: &CStr) -> std::io::Result<File> {
    // SAFETY: reads the path, which ends in a zero byte.
    let fd = unsafe { real::open64()(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: touches no memory; the descriptor was just opened, and nobody else knows its number.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Says so on standard error, and ends the process.
pub(crate) fn die(words: &str) -> ! {
    let line = format!(
        "stagepages-kernel-preload[{}]: {words}\n",
        std::process::id()
    );
    // Not through std, which a panic elsewhere may have locked.
    // SAFETY: reads `line`'s bytes, which live until the call returns. There is nobody to tell of a failure.
    let _written = unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
    std::process::abort()
}
