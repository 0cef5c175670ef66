//! Whether processes are confined.
//!
//! **Invariant:** a value that is not understood is refused, never taken for [`Mode::Off`].

use std::{fmt, str::FromStr};

/// Whether processes are confined, and what is done where the kernel lacks something for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// As far as the kernel can; what it lacks is logged.
    #[default]
    On,
    /// Not at all.
    Off,
    /// Wholly, or not started.
    Require,
}

/// Not a mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither on, off nor require")]
pub struct BadMode(String);

impl FromStr for Mode {
    type Err = BadMode;

    fn from_str(text: &str) -> Result<Self, BadMode> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            "require" => Ok(Self::Require),
            _ => Err(BadMode(text.chars().take(64).collect())),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Require => "require",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_as_it_is_written_and_nothing_else_is_one() {
        for mode in [Mode::On, Mode::Off, Mode::Require] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        for bad in ["", "On", "true", "required"] {
            assert_eq!(bad.parse::<Mode>(), Err(BadMode(bad.to_owned())));
        }
    }
}
