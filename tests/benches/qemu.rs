//! How long QEMU's own loader takes for a local file, which is what a launch without the product pays for its image.
//!
//! QEMU 7.2 reads the file into a buffer of its own (`rom_add_file()`, hw/core/loader.c), and copies that into the guest's memory when the machine is
//! reset (`rom_reset()`), before it answers the first command on QMP. Its guest does not run. The file is on a tmpfs, and in the same bytes as the
//! product's; from the start to that answer, less the start without a file, is what is told.
//!
//! **Invariant:** a QEMU that does not answer, or does not end well, is no figure.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

/// Of Debian's package qemu-system-x86.
const QEMU: &str = "qemu-system-x86_64";

/// Guest memory in MiB: the image, and what lies below it.
const MEMORY: &str = "2048";

/// Where the image goes: above what firmware uses, below the hole for devices.
const ADDRESS: &str = "0x1000000";

/// Answered in this order; the last one tells that the machine is there, with its memory filled.
const COMMANDS: [&str; 2] = ["qmp_capabilities", "query-status"];

/// Why it may not be there.
pub(crate) const MISSING: &str = "there is no qemu-system-x86_64 (package qemu-system-x86)";

/// Whether it can be started.
pub(crate) fn is_there() -> bool {
    Command::new(QEMU).arg("--version").output().is_ok()
}

/// What QEMU takes to have `image` in its guest's memory, in seconds. The baseline of staging the same bytes from a stored image.
pub(crate) fn load_seconds(image: &Path) -> f64 {
    let loader = format!(
        "loader,file={},addr={ADDRESS},force-raw=on",
        image.display()
    );
    let with = start_seconds(&["-device", &loader]);
    with - start_seconds(&[])
}

/// From the start of a QEMU with `more` arguments to its last answer.
fn start_seconds(more: &[&str]) -> f64 {
    let begun = Instant::now();
    let mut qemu = Command::new(QEMU)
        .args(["-machine", "pc,accel=kvm:tcg", "-m", MEMORY, "-S"])
        .args(["-nodefaults", "-display", "none", "-qmp", "stdio"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut qmp = qemu.stdin.take().unwrap();
    let answers = BufReader::new(qemu.stdout.take().unwrap());
    let mut say = |command: &str| writeln!(qmp, "{{\"execute\": \"{command}\"}}").unwrap();
    COMMANDS.into_iter().for_each(&mut say);
    let mut returns = answers
        .lines()
        .map(Result::unwrap)
        .filter(|line| line.contains("\"return\""));
    for command in COMMANDS {
        assert!(returns.next().is_some(), "QEMU did not answer {command}");
    }
    let took = begun.elapsed().as_secs_f64();
    say("quit");
    // To the end, or a full pipe would hold it.
    returns.for_each(drop);
    let status = qemu.wait().unwrap();
    assert!(status.success(), "QEMU ended with {status}");
    took
}
