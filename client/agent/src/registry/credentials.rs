//! The node's credentials of registries, from a file in the form of a Docker configuration.
//!
//! **Invariant:** what is said of the file never has anything of its contents in it.

use std::{collections::BTreeMap, fmt, fs::File, io::Read as _, path::Path};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::Deserialize;

/// Some leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// A credential file of a node is small.
const MOST: u64 = 1 << 20;

/// What there is for one registry.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// Nobody named a file.
    NoFile,
    /// The file cannot be used.
    Unusable(String),
    /// The file has none for it.
    NotListed,
    /// User and password.
    Login(String, String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoFile => "NoFile",
            Self::Unusable(_) => "Unusable",
            Self::NotListed => "NotListed",
            Self::Login(..) => "Login",
        })
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    auths: BTreeMap<String, Login>,
}

#[derive(Deserialize)]
struct Login {
    username: Option<String>,
    password: Option<String>,
    /// Both, with a colon between, in base64: what `docker login` writes.
    auth: Option<String>,
}

impl Login {
    fn into_parts(self) -> Option<(String, String)> {
        let both = (self.username, self.password);
        if let (Some(user), Some(password)) = both {
            return Some((user, password));
        }
        let plain = String::from_utf8(BASE64.decode(self.auth?.trim()).ok()?).ok()?;
        let (user, password) = plain.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    }
}

/// Those for a registry. The file is read anew each time, as a mounted secret changes.
pub(super) fn credentials(file: Option<&Path>, registry: &str) -> Credentials {
    let Some(file) = file else {
        return Credentials::NoFile;
    };
    let mut text = String::new();
    let read = File::open(file).and_then(|it| it.take(MOST).read_to_string(&mut text));
    match read {
        Ok(_) => listed(&text, registry),
        Err(error) => Credentials::Unusable(format!("it cannot be read: {error}")),
    }
}

fn listed(text: &str, registry: &str) -> Credentials {
    let document: Document = match serde_json::from_str(text) {
        Ok(document) => document,
        // The error's own text can have a value of the file in it.
        Err(error) => {
            return Credentials::Unusable(format!(
                "it is no Docker configuration at line {}, column {}",
                error.line(),
                error.column()
            ));
        }
    };
    let mut all = document.auths.into_iter();
    let Some((_, login)) = all.find(|(key, _)| host(key) == registry) else {
        return Credentials::NotListed;
    };
    match login.into_parts() {
        Some((user, password)) => Credentials::Login(user, password),
        None => Credentials::Unusable(format!(
            "its entry for {registry} has neither username and password nor auth with both in base64"
        )),
    }
}

/// Some write the host as a URL.
fn host(key: &str) -> &str {
    let bare = key.split_once("://").map_or(key, |(_, rest)| rest);
    bare.split('/').next().unwrap_or(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, password: &str) -> Credentials {
        Credentials::Login(user.to_owned(), password.to_owned())
    }

    #[test]
    fn each_form_of_an_entry_is_understood() {
        let text = r#"{"auths": {
            "a:5000": {"username": "u", "password": "p", "email": "x"},
            "https://b/v1/": {"auth": "dXNlcjpwYTpzcw=="},
            "unpadded": {"auth": "dXNlcjpwYTpzcw"},
            "c": {"auth": "%"},
            "d": {}
        }, "credsStore": "x"}"#;
        assert_eq!(listed(text, "a:5000"), login("u", "p"));
        for padded in ["b", "unpadded"] {
            assert_eq!(listed(text, padded), login("user", "pa:ss"), "{padded}");
        }
        for wrong in ["c", "d"] {
            assert_eq!(format!("{:?}", listed(text, wrong)), "Unusable", "{wrong}");
        }
        assert_eq!(listed(text, "a"), Credentials::NotListed);
        assert_eq!(listed("{}", "a"), Credentials::NotListed);
    }

    #[test]
    fn what_is_said_of_a_file_has_nothing_of_it() {
        for wrong in [r#"{"auths": {"a": "hunter2"}}"#, "hunter2"] {
            let Credentials::Unusable(why) = listed(wrong, "a") else {
                panic!("{wrong}");
            };
            assert!(why.contains("line 1") && !why.contains("hunter2"), "{why}");
        }
        assert!(!format!("{:?}", login("me", "hunter2")).contains("hunter2"));
    }
}
