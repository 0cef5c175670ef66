//! The functions that stand in front of libc's. Each has the name and the type of the one that it hides, and asks of its caller what that
//! one asks.
//!
//! **Invariant:** a call that is not about the model reaches libc with the arguments that it came with.

mod confine;
mod control;
mod mapping;
mod open;
mod status;

use std::ffi::{CStr, c_char, c_int};

use stagepages_kernel_model::{Answer, File, Object};

use crate::memfd;
use crate::state::{self, Loaded};

/// What the model puts at a path.
struct Placed {
    model: &'static Loaded,
    path: String,
    file: File,
}

/// What the model puts at this path, if there is a model and it does.
fn placed(path: *const c_char) -> Option<Placed> {
    if path.is_null() {
        return None;
    }
    // SAFETY: a path is a string that ends in a zero byte; libc would read it as far.
    let path = unsafe { CStr::from_ptr(path) }.to_str().ok()?;
    let is_candidate =
        path.starts_with("/dev/") || path.starts_with("/proc/") || path.starts_with("/sys/");
    if !is_candidate {
        return None;
    }
    let model = state::loaded()?;
    let file = model.machine.script().file(path)?;
    Some(Placed {
        model,
        path: path.to_owned(),
        file,
    })
}

/// What a descriptor stands for. A forked child asks its name, because another thread may have held the locks when it was made.
fn object(model: &Loaded, fd: c_int) -> Option<Object> {
    if std::process::id() == model.pid {
        let file = memfd::identify(fd)?;
        model.machine.object(file)
    } else {
        None
    }
}

/// As a libc function answers: the value, or -1 and errno.
fn answer(answer: Answer) -> c_int {
    match answer {
        Ok(value) => value,
        Err(errno) => {
            // SAFETY: gives the address of this thread's errno, which is always there.
            let place = unsafe { libc::__errno_location() };
            // SAFETY: writes an int that belongs to this thread.
            unsafe { place.write(errno.0) };
            -1
        }
    }
}
