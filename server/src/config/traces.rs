//! Where spans are sent, and of how many calls.
//!
//! **Invariant:** an endpoint that exists is plain HTTP to one host and port, and has nothing secret in it.

use std::{fmt, str::FromStr};

use serde::Deserialize;

use super::values::ValueError;
use crate::rpc::status::printable;

/// A collector that takes OTLP over gRPC.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct OtlpEndpoint {
    /// Without the brackets that an IPv6 address has.
    host: String,
    port: u16,
}

impl OtlpEndpoint {
    /// A name or an address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for OtlpEndpoint {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::OtlpEndpoint(printable(text, 200));
        let place = text.strip_prefix("http://").ok_or_else(wrong)?;
        let place = place.strip_suffix('/').unwrap_or(place);
        let (host, port) = place.rsplit_once(':').ok_or_else(wrong)?;
        let bare = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(wrong)?,
            None => host,
        };
        let is_address = bare.parse::<std::net::Ipv6Addr>().is_ok();
        let is_name = (1..=253).contains(&bare.len())
            && bare
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        let fits = if host.len() == bare.len() {
            is_name
        } else {
            is_address
        };
        match port.parse() {
            Ok(port @ 1..) if fits => Ok(Self {
                host: bare.to_owned(),
                port,
            }),
            Ok(_) | Err(_) => Err(wrong()),
        }
    }
}

impl TryFrom<String> for OtlpEndpoint {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl fmt::Display for OtlpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "http://[{host}]:{port}")
        } else {
            write!(f, "http://{host}:{port}")
        }
    }
}

const MILLION: u32 = 1_000_000;

/// A share of all calls, from 0 to 1, in millionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub struct TraceRatio(u32);

impl TraceRatio {
    /// Whether a call with this random number is among them. Without any, or with all, chance is not asked.
    pub fn takes(self, random: impl FnOnce() -> u32) -> bool {
        match self.0 {
            0 => false,
            MILLION => true,
            millionths => random() % MILLION < millionths,
        }
    }
}

impl TryFrom<f64> for TraceRatio {
    type Error = ValueError;

    fn try_from(ratio: f64) -> Result<Self, ValueError> {
        let wrong = || ValueError::TraceRatio(ratio.to_string());
        if !(0.0..=1.0).contains(&ratio) {
            return Err(wrong());
        }
        // By way of its digits: there is no conversion that cannot lose anything.
        let millionths = format!("{:.0}", ratio * f64::from(MILLION));
        millionths.parse().map(Self).map_err(|_never| wrong())
    }
}

impl FromStr for TraceRatio {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.parse::<f64>() {
            Ok(ratio) => ratio.try_into(),
            Err(_) => Err(ValueError::TraceRatio(printable(text, 64))),
        }
    }
}

impl fmt::Display for TraceRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / f64::from(MILLION))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_a_host_and_a_port() {
        for (text, host, port) in [
            ("http://127.0.0.1:4317", "127.0.0.1", 4317),
            (
                "http://otel-collector.observability.svc:4317/",
                "otel-collector.observability.svc",
                4317,
            ),
            ("http://[::1]:1", "::1", 1),
        ] {
            let endpoint: OtlpEndpoint = text.parse().unwrap();
            assert_eq!((endpoint.host(), endpoint.port()), (host, port), "{text}");
            assert_eq!(endpoint.to_string(), text.trim_end_matches('/'));
        }
        for bad in [
            "",
            "127.0.0.1:4317",
            "https://a:4317",
            "http://a",
            "http://a:0",
            "http://a:66000",
            "http://:4317",
            "http://u:p@a:4317",
            "http://a:4317/v1/traces",
            "http://a b:4317",
            "http://::1:4317",
            "http://[a]:4317",
        ] {
            assert!(bad.parse::<OtlpEndpoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ratios_are_from_none_to_all() {
        let none: TraceRatio = "0".parse().unwrap();
        assert!(!none.takes(|| 0));
        let all: TraceRatio = "1".parse().unwrap();
        assert!(all.takes(|| u32::MAX));
        let some: TraceRatio = "0.25".parse().unwrap();
        assert!(some.takes(|| 249_999) && !some.takes(|| 250_000));
        assert_eq!(some.to_string(), "0.25");
        for bad in ["-0.1", "1.1", "NaN", "half", "inf"] {
            assert!(bad.parse::<TraceRatio>().is_err(), "{bad}");
        }
    }
}
