//! Where the daemon listens: a Unix socket or a TCP port, given by a person or found by convention.
//!
//! **Invariant:** never looks at the socket itself; a wrong endpoint is found out by connecting.

use std::{
    env,
    ffi::OsString,
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Environment variable that names the endpoint.
pub const ENDPOINT_VARIABLE: &str = "STAGEPAGES_ENDPOINT";
const RUNTIME_DIR_VARIABLE: &str = "STAGEPAGES_RUNTIME_DIR";
const SOCKET: &str = "api.sock";

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP port, by mutual TLS (see [`crate::Credentials`]).
    Tcp {
        /// Name or address; an IPv6 address in brackets.
        host: String,
        /// Port.
        port: u16,
    },
}

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The text is none of the forms.
    #[error("endpoint `{}` is not valid: {problem}; give unix:/path or tcp:HOST:PORT", text.escape_debug())]
    Form {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// `STAGEPAGES_ENDPOINT` is not UTF-8.
    #[error(
        "environment variable {ENDPOINT_VARIABLE} is not UTF-8; give the endpoint with --endpoint"
    )]
    NotUtf8,
    /// The user's id, which names the default socket, could not be read.
    #[error(
        "cannot tell the default endpoint, because the owner of /proc/self cannot be read; give it with --endpoint"
    )]
    User(#[source] io::Error),
}

impl Endpoint {
    /// The endpoint that `STAGEPAGES_ENDPOINT` names, else the socket that a daemon of this user serves by default.
    ///
    /// That is `api.sock` in `$STAGEPAGES_RUNTIME_DIR`, else `$XDG_RUNTIME_DIR/stagepages`, else `/run/stagepages` for root, else
    /// `/tmp/stagepages-<uid>`. An empty variable counts as unset.
    ///
    /// # Errors
    /// `STAGEPAGES_ENDPOINT` is no endpoint, or the user's id cannot be read.
    pub fn from_environment() -> Result<Self, EndpointError> {
        // /proc/self belongs to the effective user; so no system call of our own, which would need `unsafe`.
        Self::by_convention(
            |name| env::var_os(name),
            || Ok(fs::metadata("/proc/self")?.uid()),
        )
    }

    fn by_convention(
        variable: impl Fn(&str) -> Option<OsString>,
        uid: impl FnOnce() -> io::Result<u32>,
    ) -> Result<Self, EndpointError> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        if let Some(named) = variable(ENDPOINT_VARIABLE) {
            return named.to_str().ok_or(EndpointError::NotUtf8)?.parse();
        }
        let directory = match (variable(RUNTIME_DIR_VARIABLE), variable("XDG_RUNTIME_DIR")) {
            (Some(own), _) => PathBuf::from(own),
            (None, Some(session)) => Path::new(&session).join("stagepages"),
            (None, None) => match uid().map_err(EndpointError::User)? {
                0 => PathBuf::from("/run/stagepages"),
                uid => PathBuf::from(format!("/tmp/stagepages-{uid}")),
            },
        };
        Ok(Self::Unix(directory.join(SOCKET)))
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    /// `unix:/path`, `unix:///path`, `tcp:HOST:PORT` or `https://HOST:PORT`.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let wrong = |problem| EndpointError::Form {
            text: text.to_owned(),
            problem,
        };
        if let Some(rest) = text.strip_prefix("unix:") {
            // gRPC's naming: after `//` comes an authority, which has to be empty, and an absolute path.
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return match path {
                "" => Err(wrong("the path is missing")),
                _ if rest.starts_with("//") && !path.starts_with('/') => Err(wrong(
                    "after unix:// comes an absolute path, so three slashes",
                )),
                _ => Ok(Self::Unix(PathBuf::from(path))),
            };
        }
        let address = match (text.strip_prefix("tcp:"), text.strip_prefix("https://")) {
            (Some(address), _) => address.trim_start_matches("//"),
            (None, Some(address)) => address.trim_end_matches('/'),
            (None, None) if text.starts_with("http://") => {
                return Err(wrong("TCP is served with TLS only"));
            }
            (None, None) => return Err(wrong("it has no scheme that is known here")),
        };
        let (host, port) = address
            .rsplit_once(':')
            .ok_or_else(|| wrong("the port is missing"))?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty()
            || host.contains(|c: char| c.is_whitespace() || c.is_control() || "/?#@".contains(c))
        {
            return Err(wrong(
                "the host is missing or has characters that no host has",
            ));
        }
        if host.contains(':') && !bracketed {
            return Err(wrong("an IPv6 address goes in brackets"));
        }
        match port.parse() {
            Ok(port) if port != 0 => Ok(Self::Tcp {
                host: host.to_owned(),
                port,
            }),
            _ => Err(wrong("the port is not a number from 1 to 65535")),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(path: &str) -> Endpoint {
        Endpoint::Unix(path.into())
    }

    fn tcp(host: &str, port: u16) -> Endpoint {
        Endpoint::Tcp {
            host: host.into(),
            port,
        }
    }

    #[test]
    fn every_documented_form_is_taken() {
        for (text, endpoint) in [
            ("unix:/run/x.sock", unix("/run/x.sock")),
            ("unix:///run/x.sock", unix("/run/x.sock")),
            ("unix:x.sock", unix("x.sock")),
            ("tcp:localhost:7070", tcp("localhost", 7070)),
            ("tcp:[::1]:7070", tcp("[::1]", 7070)),
            ("https://127.0.0.1:7070", tcp("127.0.0.1", 7070)),
            ("https://127.0.0.1:7070/", tcp("127.0.0.1", 7070)),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap(), endpoint, "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused_with_the_value_named() {
        for text in [
            "",
            "/run/x.sock",
            "unix:",
            "unix://",
            "unix://run/x.sock",
            "tcp:",
            "tcp:host",
            "tcp::1",
            "tcp:host:",
            "tcp:host:0",
            "tcp:host:65536",
            "tcp:::1:70",
            "https://a b:1",
            "https://u@h:1",
            "http://h:1",
            "https://h/p:1",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{text}`")) && error.contains("unix:/path"),
                "{error}"
            );
        }
    }

    #[test]
    fn shown_endpoints_are_read_back() {
        for endpoint in [unix("/run/x.sock"), tcp("[::1]", 1)] {
            assert_eq!(endpoint.to_string().parse::<Endpoint>().unwrap(), endpoint);
        }
    }

    #[test]
    fn the_first_of_the_conventions_that_applies_is_taken() {
        let find = |set: &[(&str, &str)], uid| {
            Endpoint::by_convention(
                |name| {
                    set.iter()
                        .find(|(key, _)| *key == name)
                        .map(|(_, value)| OsString::from(value))
                },
                || Ok(uid),
            )
            .unwrap()
        };
        let (named, own, session) = (
            ("STAGEPAGES_ENDPOINT", "tcp:h:1"),
            ("STAGEPAGES_RUNTIME_DIR", "/own"),
            ("XDG_RUNTIME_DIR", "/run/user/7"),
        );
        assert_eq!(find(&[named, own, session], 7), tcp("h", 1));
        assert_eq!(find(&[own, session], 7), unix("/own/api.sock"));
        assert_eq!(find(&[session], 7), unix("/run/user/7/stagepages/api.sock"));
        assert_eq!(
            find(&[("XDG_RUNTIME_DIR", "")], 7),
            unix("/tmp/stagepages-7/api.sock")
        );
        assert_eq!(find(&[], 0), unix("/run/stagepages/api.sock"));
    }
}
