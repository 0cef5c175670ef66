//! The node's credentials of registries, from a file in the form of a Docker configuration.
//!
//! **Invariant:** what is said of the file never has anything of its contents in it.

use std::{collections::BTreeMap, fmt, fs::File, io::Read as _, path::Path};

use serde::Deserialize;

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
        let plain = String::from_utf8(base64(self.auth?.trim())?).ok()?;
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

/// The bytes of it; none if it is no base64.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, held) = ((bits << 6 | u32::from(value)) & 0xffff, held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
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
            "c": {"auth": "%"},
            "d": {}
        }, "credsStore": "x"}"#;
        assert_eq!(listed(text, "a:5000"), login("u", "p"));
        assert_eq!(listed(text, "b"), login("user", "pa:ss"));
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

    #[test]
    fn base64_is_read_with_and_without_padding() {
        for (text, bytes) in [
            ("", ""),
            ("YQ==", "a"),
            ("YQ", "a"),
            ("YWI=", "ab"),
            ("YWJj", "abc"),
        ] {
            assert_eq!(base64(text).unwrap(), bytes.as_bytes(), "{text}");
        }
        assert_eq!(base64("/+8=").unwrap(), [0xff, 0xef]);
        assert_eq!(base64("a b"), None);
    }
}
