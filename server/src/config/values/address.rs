//! Addresses that are of TCP and nothing else.
//!
//! **Invariant:** one that exists can be bound as it is: names are not resolved.

use std::{fmt, net::SocketAddr, str::FromStr};

use serde::Deserialize;

use super::ValueError;
use crate::{net::Listen, rpc::status::printable};

/// An address of this machine, written `tcp:IP:PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TcpAddress(SocketAddr);

impl TcpAddress {
    /// The address.
    #[must_use]
    pub fn get(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for TcpAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.parse() {
            Ok(Listen::Tcp(address)) => Ok(Self(address)),
            Ok(Listen::Unix(_)) | Err(_) => Err(ValueError::NotTcp(printable(text, 200))),
        }
    }
}

impl TryFrom<String> for TcpAddress {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl fmt::Display for TcpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp:{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tcp_is_read_and_written_back() {
        for good in ["tcp:127.0.0.1:0", "tcp:[::]:8086"] {
            assert_eq!(good.parse::<TcpAddress>().unwrap().to_string(), good);
        }
        for bad in ["unix:/a", "127.0.0.1:1", "tcp:host:1", ""] {
            let error = bad.parse::<TcpAddress>().unwrap_err().to_string();
            assert!(error.contains("tcp:IP:PORT"), "{bad}: {error}");
        }
    }
}
