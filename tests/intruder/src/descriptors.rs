//! What a process was handed, told by itself before its `main`: for processes that are gone before anybody could look.
//!
//! ```text
//! intruder: handed: WHAT IT IS CALLED WITH: 0=socket:[1] 1=/dev/null
//! ```
//!
//! **Invariant:** nothing is open afterwards that was not before.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};

/// The descriptors of this process, which has opened none itself yet.
pub(crate) fn tell() {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let mut line = format!("intruder: handed: {}:", words.join(" "));
    // The directory that is being read is open too, and is closed before the next thing is.
    let own = format!("/proc/{}/fd", std::process::id());
    let entries: Vec<_> = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let number: u32 = entry.file_name().to_str()?.parse().ok()?;
            let target = fs::read_link(entry.path()).ok()?;
            Some((number, target.to_string_lossy().into_owned()))
        })
        .filter(|(_, target)| *target != own)
        .collect();
    for (number, target) in entries {
        // Writing to a String cannot fail.
        let _infallible = write!(line, " {number}={target}");
    }
    line.push('\n');
    // In one piece; there is nobody to tell of a failure.
    drop(io::stderr().write_all(line.as_bytes()));
}
