//! Where the status page is served, as flags, files and variables say it.
//!
//! **Invariant:** `off` stands alone, and says the same as an empty list.

use std::{fmt, path::Path, str::FromStr};

use serde::Deserialize;

use super::ConfigError;
use crate::net::{Listen, ListenError, MAX_SOCKET_PATH_BYTES};

/// One word of the list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum StatusPlace {
    /// Nowhere.
    Off,
    /// There.
    At(Listen),
}

impl FromStr for StatusPlace {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        match text {
            "off" => Ok(Self::Off),
            address => address.parse().map(Self::At),
        }
    }
}

impl TryFrom<String> for StatusPlace {
    type Error = ListenError;

    fn try_from(text: String) -> Result<Self, ListenError> {
        text.parse()
    }
}

impl fmt::Display for StatusPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(listen) => listen.fmt(f),
        }
    }
}

/// The words of a list for flags, in which an empty one cannot be written.
pub(super) fn words(set: Option<&Vec<StatusPlace>>) -> Vec<String> {
    match set.map(Vec::as_slice) {
        None => Vec::new(),
        Some([]) => vec![StatusPlace::Off.to_string()],
        Some(places) => places.iter().map(ToString::to_string).collect(),
    }
}

/// What the list amounts to. Unset, it is one socket in the runtime directory, if its path is short enough for one: the API is served without it.
///
/// # Errors
/// [`ConfigError::StatusListen`]: `off` beside an address.
pub(super) fn addresses(
    set: Option<Vec<StatusPlace>>,
    runtime_dir: &Path,
) -> Result<Vec<Listen>, ConfigError> {
    let Some(set) = set else {
        let path = runtime_dir.join("status.sock");
        let fits = path.as_os_str().len() <= MAX_SOCKET_PATH_BYTES;
        return Ok(fits.then_some(Listen::Unix(path)).into_iter().collect());
    };
    let several = set.len() > 1;
    let address = |place| match place {
        StatusPlace::At(listen) => Some(Ok(listen)),
        StatusPlace::Off if several => Some(Err(ConfigError::StatusListen)),
        StatusPlace::Off => None,
    };
    set.into_iter().filter_map(address).collect()
}
