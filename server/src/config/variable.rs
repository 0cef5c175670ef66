//! One variable of the environment, read as a value of the configuration.
//!
//! **Invariant:** an empty variable sets nothing, and what is wrong is told by the variable's name.

use std::{error::Error, ffi::OsString, str::FromStr};

use super::{ConfigError, values::ValueError};

/// The value of the variable `name`, if it is set.
///
/// # Errors
/// It is set to what is none.
pub(super) fn one<T>(
    variable: impl Fn(&str) -> Option<OsString>,
    name: &str,
) -> Result<Option<T>, ConfigError>
where
    T: FromStr,
    T::Err: Into<ValueError> + Error,
{
    let Some(value) = read(variable, name)? else {
        return Ok(None);
    };
    value.parse().map(Some).map_err(|error| wrong(name, error))
}

/// The values of the variable `name`, between commas, if it is set.
///
/// # Errors
/// One of them is none.
pub(super) fn list<T>(
    variable: impl Fn(&str) -> Option<OsString>,
    name: &str,
) -> Result<Option<Vec<T>>, ConfigError>
where
    T: FromStr,
    T::Err: Into<ValueError> + Error,
{
    let Some(value) = read(variable, name)? else {
        return Ok(None);
    };
    let items = value.split(',').map(|item| item.trim().parse());
    items
        .collect::<Result<_, _>>()
        .map(Some)
        .map_err(|error| wrong(name, error))
}

fn read(
    variable: impl Fn(&str) -> Option<OsString>,
    name: &str,
) -> Result<Option<String>, ConfigError> {
    match variable(name).map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(value)) if value.is_empty() => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(bytes)) => {
            let bytes = bytes.to_string_lossy().into_owned();
            Err(wrong(name, ValueError::Encoding(bytes)))
        }
    }
}

fn wrong(name: &str, source: impl Into<ValueError>) -> ConfigError {
    ConfigError::Variable {
        variable: name.to_owned(),
        source: source.into(),
    }
}
