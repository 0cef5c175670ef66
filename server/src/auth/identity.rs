//! What peers are called: the names that a connection proves, and the patterns in which a policy writes them.
//!
//! | name                     | proved by                                                     |
//! |--------------------------|---------------------------------------------------------------|
//! | `uid:1000`, `gid:100`    | the kernel, of the peer of a Unix socket (`SO_PEERCRED`)      |
//! | `spiffe://domain/path`   | a client certificate, where SPIFFE IDs are configured         |
//! | `dns:NAME`, `email:NAME` | the same, where these are                                     |
//!
//! **Invariant:** a name is compared as a whole, and a pattern only ends at a `/`: `spiffe://a/b/*` is not `spiffe://a/bc`.

use std::str::FromStr;

use crate::rpc::status::printable;

/// The longest name, in bytes: that of a SPIFFE ID (SPIFFE-ID, section 2.3).
const MAX_NAME_BYTES: usize = 2048;

/// A name, or all SPIFFE IDs below a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pattern {
    /// This one.
    Exact(String),
    /// Those that begin so; ends with a slash.
    Below(String),
}

/// Not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no identity: write uid:NUMBER, gid:NUMBER, spiffe://DOMAIN/PATH (with /* at its end for all below), dns:NAME or email:NAME"
)]
pub struct BadIdentity(String);

impl FromStr for Pattern {
    type Err = BadIdentity;

    fn from_str(text: &str) -> Result<Self, BadIdentity> {
        let plain = |text: &str| {
            !text.is_empty()
                && text.len() <= MAX_NAME_BYTES
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b'*')
        };
        let number = |digits: &str| {
            let parsed: Option<u32> = digits.parse().ok();
            // One spelling each: that of the kernel's number.
            parsed.is_some_and(|number| number.to_string() == digits)
        };
        let exact = || Ok(Self::Exact(text.to_owned()));
        let bad = || BadIdentity(printable(text, 200));
        match text.split_once(':') {
            Some(("uid" | "gid", digits)) if number(digits) => exact(),
            Some(("dns" | "email", name)) if plain(name) => exact(),
            Some(("spiffe", rest)) => {
                let rest = rest.strip_prefix("//").ok_or_else(bad)?;
                let (id, below) = match rest.strip_suffix("/*") {
                    Some(id) => (id, true),
                    None => (rest, false),
                };
                if !plain(id) || id.split('/').any(str::is_empty) {
                    Err(bad())
                } else if below {
                    Ok(Self::Below(format!("spiffe://{id}/")))
                } else {
                    exact()
                }
            }
            _ => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_name_is_read() {
        for good in [
            "uid:0",
            "gid:4294967295",
            "spiffe://a",
            "spiffe://a/b/c",
            "dns:x.org",
            "email:a@b",
        ] {
            assert_eq!(good.parse(), Ok(Pattern::Exact(good.to_owned())));
        }
        let below = Pattern::Below("spiffe://a/b/".to_owned());
        assert_eq!("spiffe://a/b/*".parse(), Ok(below));
    }

    #[test]
    fn what_could_mean_another_name_is_refused() {
        for bad in [
            "",
            "uid:",
            "uid:-1",
            "uid:+1",
            "uid:01",
            "uid:4294967296",
            "user:x",
            "spiffe:/a",
            "spiffe://",
            "spiffe://*",
            "spiffe://a/",
            "spiffe://a//b",
            "spiffe://a/b*",
            "spiffe://a/*/b",
            "dns:*.x.org",
            "dns:a b",
            "spiffe://a/\u{e9}",
            "*",
        ] {
            let error = bad.parse::<Pattern>().unwrap_err().to_string();
            assert!(error.contains("spiffe://DOMAIN/PATH"), "{bad}: {error}");
        }
    }
}
