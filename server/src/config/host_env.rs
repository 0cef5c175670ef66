//! Names of environment variables that launch hosts get from the supervisor.
//!
//! Hosts start with an empty environment otherwise: what a variable can change in a process that holds guest memory (`LD_PRELOAD`, above all) is
//! the operator's to choose by name, and never an accident of the shell that started the service.
//!
//! **Invariant:** names only; no value is ever written here, so none can be read in a process list.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::Deserialize;

use super::values::ValueError;
use crate::rpc::status::printable;

/// A variable's name: a letter or `_`, then letters, digits and `_`, all ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct VariableName(String);

impl FromStr for VariableName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if text.is_empty()
            || text.starts_with(|c: char| c.is_ascii_digit())
            || !text.chars().all(word)
        {
            return Err(ValueError::Variable(printable(text, 64)));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for VariableName {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl fmt::Display for VariableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Each once.
pub(super) fn names(given: Vec<VariableName>) -> BTreeSet<String> {
    given.into_iter().map(|VariableName(name)| name).collect()
}
