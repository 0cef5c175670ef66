//! The configuration file: TOML, one key per line, unknown keys refused.
//!
//! **Invariant:** every complaint names the file and the line, and shows the line.

use std::path::Path;

use super::{ConfigError, Settings};
use crate::rpc::status::printable;

/// What `text`, the contents of `path`, sets.
pub(super) fn parse(path: &Path, text: &str) -> Result<Settings, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let shown = text.lines().nth(line - 1).unwrap_or_default();
        ConfigError::File {
            path: path.to_owned(),
            line,
            text: printable(shown.trim(), 120),
            message: printable(&error.message().replace('\n', ", "), 500),
        }
    })
}
