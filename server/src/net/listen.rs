//! Addresses to serve on, as they are written in flags, files and variables: `unix:PATH` and `tcp:HOST:PORT`.
//!
//! **Invariant:** a `Listen` that exists may be served on, a TCP address with TLS only: a path fits into a socket address.

use std::{fmt, net::IpAddr, net::Ipv4Addr, net::SocketAddr, path::PathBuf, str::FromStr};

use serde::Deserialize;

use crate::rpc::status::printable;

/// The longest path of a Unix socket, in bytes (`sun_path` of unix(7), less its NUL).
pub const MAX_SOCKET_PATH_BYTES: usize = 107;

/// An address to serve on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Listen {
    /// A Unix socket at an absolute path.
    Unix(PathBuf),
    /// An address of this machine, by mutual TLS. Port 0 lets the kernel choose.
    Tcp(SocketAddr),
}

/// Why an address cannot be served on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// Neither form.
    #[error("address {0:?} is neither unix:PATH nor tcp:HOST:PORT")]
    Form(String),
    /// A path that depends on where the daemon was started.
    #[error("socket path {0:?} is not absolute; write unix:/…")]
    Relative(String),
    /// A path that the kernel cannot take.
    #[error(
        "socket path {path:?} has {bytes} bytes; the kernel takes at most {MAX_SOCKET_PATH_BYTES}"
    )]
    TooLong {
        /// The path.
        path: String,
        /// Its length.
        bytes: usize,
    },
    /// A path that cannot stand in a list of addresses.
    #[error("socket path {0:?} has a comma or a control character in it")]
    Character(String),
    /// A name, or garbage.
    #[error("tcp address {0:?} is not IP:PORT; names are not resolved, except localhost")]
    NotAnIp(String),
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            // gRPC's own notation has an (empty) authority before the path: unix:///path.
            unix(path.strip_prefix("//").unwrap_or(path))
        } else if let Some(address) = text.strip_prefix("tcp:") {
            tcp(address)
        } else {
            Err(ListenError::Form(printable(text, 200)))
        }
    }
}

fn unix(path: &str) -> Result<Listen, ListenError> {
    let shown = || printable(path, 200);
    if !path.starts_with('/') {
        Err(ListenError::Relative(shown()))
    } else if path.contains(|c: char| c == ',' || c.is_control()) {
        Err(ListenError::Character(shown()))
    } else if path.len() > MAX_SOCKET_PATH_BYTES {
        let bytes = path.len();
        Err(ListenError::TooLong {
            path: shown(),
            bytes,
        })
    } else {
        Ok(Listen::Unix(PathBuf::from(path)))
    }
}

fn tcp(address: &str) -> Result<Listen, ListenError> {
    let localhost = address
        .strip_prefix("localhost:")
        .and_then(|port| port.parse().ok());
    let parsed = match localhost {
        Some(port) => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        None => address.parse::<SocketAddr>().ok(),
    };
    match parsed {
        Some(address) => Ok(Listen::Tcp(address)),
        None => Err(ListenError::NotAnIp(printable(address, 200))),
    }
}

impl TryFrom<String> for Listen {
    type Error = ListenError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Listen>().expect_err("is refused").to_string()
    }

    #[test]
    fn both_forms_are_read_and_written_back() {
        for text in [
            "unix:/run/x.sock",
            "tcp:127.0.0.1:0",
            "tcp:[::1]:7000",
            "tcp:0.0.0.0:1",
            "tcp:[::]:1",
            "tcp:192.0.2.1:7000",
        ] {
            assert_eq!(text.parse::<Listen>().expect("is valid").to_string(), text);
        }
        assert_eq!(
            "tcp:localhost:80".parse(),
            Ok(Listen::Tcp(([127, 0, 0, 1], 80).into()))
        );
        assert_eq!("unix:///run/x".parse(), Ok(Listen::Unix("/run/x".into())));
    }

    #[test]
    fn garbage_is_refused_in_words() {
        assert!(error("/run/x").contains("neither unix:PATH nor tcp:HOST:PORT"));
        assert!(error("unix:x").contains("not absolute"));
        assert!(error("unix:/a,b").contains("comma"));
        assert!(error(&format!("unix:/{}", "a".repeat(107))).contains("108 bytes"));
        for text in [
            "tcp:example.com:1",
            "tcp:127.0.0.1",
            "tcp:",
            "tcp:localhost:99999",
        ] {
            assert!(error(text).contains("not IP:PORT"), "{text}");
        }
    }
}
