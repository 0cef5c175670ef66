//! Writes the suites' small images into a directory, for checks by other programs: `cargo run -p stagepages-tests --bin test-images -- DIR`.
#![forbid(unsafe_code)]

use std::{env, fs, io, path::Path};

use stagepages_tests::{amd_firmware, bzimage, elf, igvm, intel_firmware};

fn main() -> io::Result<()> {
    let directory = env::args_os().nth(1);
    let directory = directory.ok_or_else(|| io::Error::other("give a directory"))?;
    for (name, bytes) in [
        ("amd.fd", amd_firmware(0)),
        ("intel.fd", intel_firmware(0)),
        ("all.igvm", igvm(0)),
        ("hlt.elf", elf(&[0xf4])),
        ("hlt.bzimage", bzimage(&[0xf4])),
    ] {
        fs::write(Path::new(&directory).join(name), bytes)?;
    }
    Ok(())
}
