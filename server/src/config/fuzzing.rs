//! Configuration files as anybody may write them, on a machine that is always the same; for fuzzing.
//!
//! **Invariant:** reads no file, no variable and nothing of this machine.

use std::path::Path;

use super::{Config, ConfigError, Machine, file};

/// What the daemon would make of a file with this text.
///
/// # Errors
/// As [`Config::load`].
pub fn resolve(text: &str) -> Result<Config, ConfigError> {
    let set = file::parse(Path::new("config.toml"), text)?;
    let machine = Machine {
        uid: 1000,
        memory_bytes: 16 << 30,
    };
    let variable = |name: &str| (name == "HOME").then(|| "/home/somebody".into());
    Config::resolve(set, variable, machine)
}
