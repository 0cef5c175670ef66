//! The values of settings, checked where they are read, whether by a flag, a variable or a file.
//!
//! **Invariant:** a value that exists keeps its bounds.

use std::{fmt, str::FromStr, time::Duration};

mod address;
mod path;
mod socket;

pub use address::TcpAddress;
pub use path::AbsolutePath;
pub use socket::{SocketGroup, SocketMode};

use serde::Deserialize;
use stagepages_host::platform::PlatformKind;
use tracing_subscriber::EnvFilter;

use crate::{auth::MAX_DEVICES, net::ListenError, rpc::status::printable};

/// Guest-physical addresses end at 2^52, so no launch has more memory than that, in bytes.
pub const MAX_MEMORY_BYTES: u64 = 1 << 52;
/// The longest grace period.
const MAX_GRACE: Duration = Duration::from_secs(3600);

/// What is wrong with a value.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// Not a number of its range.
    #[error("{value:?} is not a whole number from {min} to {max}")]
    Number {
        /// What was given.
        value: String,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// Not a duration of its range.
    #[error("{0:?} is not a duration of at most 1h, such as 500ms, 30s or 5m")]
    Duration(String),
    /// A bound that would end everything at once.
    #[error("{0:?} is no time to wait; write at least 1ms, for example 30s")]
    Zero(String),
    /// A path that depends on where the daemon was started.
    #[error("path {0:?} is not absolute; begin it with /")]
    Relative(String),
    /// Not a collector's address.
    #[error("{0:?} is no collector; write http://HOST:PORT, for example http://127.0.0.1:4317")]
    OtlpEndpoint(String),
    /// Not a share of calls.
    #[error("{0:?} is no share; write a number from 0 to 1, for example 0.01")]
    TraceRatio(String),
    /// No kind of identity.
    #[error("{0:?} is no kind of identity; write spiffe, dns or email")]
    Identity(String),
    /// Not a platform.
    #[error("{0:?} is no platform; write sim, kvm, sev-snp or tdx")]
    Platform(String),
    /// Not a number of devices.
    #[error(
        "{0:?} is no number of devices; write PLATFORM=N with N up to {MAX_DEVICES}, for example kvm=4"
    )]
    DeviceCount(String),
    /// Not a program of a platform's hosts.
    #[error("{0:?} names no program of a platform; write PLATFORM=/PATH, for example kvm=/opt/vmm")]
    HostProgramForm(String),
    /// A program that depends on where the daemon was started.
    #[error("program {value:?} for hosts on {platform} is not an absolute path")]
    HostProgram {
        /// Whose hosts.
        platform: PlatformKind,
        /// What was given.
        value: String,
    },
    /// Not a variable's name.
    #[error(
        "{0:?} is no name of an environment variable; write letters, digits and _, for example LD_PRELOAD"
    )]
    Variable(String),
    /// Not a mode of a socket.
    #[error(
        "{0:?} is no mode of a socket; write 0600 for its owner, 0660 for a group too, or 0666 for everybody on this machine"
    )]
    SocketMode(String),
    /// Not a group.
    #[error("{0:?} is no group; write a name or a number")]
    Group(String),
    /// Not a log filter.
    #[error("{value:?} is no log filter ({cause}); write a level such as info, or TARGET=LEVEL,…")]
    Filter {
        /// What was given.
        value: String,
        /// What its parser said.
        cause: tracing_subscriber::filter::ParseError,
    },
    /// Not a log format.
    #[error("{0:?} is no log format; write text or json")]
    Format(String),
    /// Neither on nor off.
    #[error("{0:?} is neither on nor off")]
    Switch(String),
    /// Neither on, off nor require.
    #[error("{0:?} is neither on, off nor require")]
    SandboxMode(String),
    /// Nothing that could be a user.
    #[error("{0:?} is no user; write a name, UID or UID:GID")]
    UserName(String),
    /// An address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Not an address of TCP.
    #[error("{0:?} is no TCP address; write tcp:IP:PORT, for example tcp:0.0.0.0:8086")]
    NotTcp(String),
    /// Bytes that are no text.
    #[error("{0:?} is not UTF-8")]
    Encoding(String),
}

/// A number of `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct Count<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Count<MIN, MAX> {
    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl<const MIN: u32, const MAX: u32> TryFrom<u64> for Count<MIN, MAX> {
    type Error = ValueError;

    fn try_from(value: u64) -> Result<Self, ValueError> {
        match u32::try_from(value) {
            Ok(count) if (MIN..=MAX).contains(&count) => Ok(Self(count)),
            Ok(_) | Err(_) => Err(number(&value.to_string(), MIN.into(), MAX.into())),
        }
    }
}

impl<const MIN: u32, const MAX: u32> FromStr for Count<MIN, MAX> {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let value: Option<u64> = text.parse().ok();
        value
            .and_then(|value| Self::try_from(value).ok())
            .ok_or_else(|| number(text, MIN.into(), MAX.into()))
    }
}

impl<const MIN: u32, const MAX: u32> fmt::Display for Count<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// As it is without anybody's saying so.
    On,
    /// Not at all.
    Off,
}

impl FromStr for Switch {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err(ValueError::Switch(printable(text, 64))),
        }
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
        })
    }
}

/// A number of bytes from `MIN` to [`MAX_MEMORY_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct Bytes<const MIN: u64>(u64);

/// An amount of memory: at least a page.
pub type MemoryBytes = Bytes<{ stagepages_kvm::PAGE_SIZE }>;

/// An amount of disk; 0 for none.
pub type DiskBytes = Bytes<0>;

impl<const MIN: u64> Bytes<MIN> {
    /// The number of bytes.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl<const MIN: u64> TryFrom<u64> for Bytes<MIN> {
    type Error = ValueError;

    fn try_from(value: u64) -> Result<Self, ValueError> {
        if (MIN..=MAX_MEMORY_BYTES).contains(&value) {
            Ok(Self(value))
        } else {
            Err(number(&value.to_string(), MIN, MAX_MEMORY_BYTES))
        }
    }
}

impl<const MIN: u64> FromStr for Bytes<MIN> {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let value: Option<u64> = text.parse().ok();
        value
            .and_then(|value| Self::try_from(value).ok())
            .ok_or_else(|| number(text, MIN, MAX_MEMORY_BYTES))
    }
}

impl<const MIN: u64> fmt::Display for Bytes<MIN> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn number(value: &str, min: u64, max: u64) -> ValueError {
    let value = printable(value, 64);
    ValueError::Number { value, min, max }
}

/// How long to wait for calls in progress: a whole number and a unit, `ms`, `s`, `m` or `h`; at most one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Grace(Duration);

impl Grace {
    /// The time.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for Grace {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::Duration(printable(text, 64));
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (amount, unit) = text.split_at(digits);
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60 * 1000,
            "h" => 3600 * 1000,
            _ => return Err(wrong()),
        };
        let amount: Option<u64> = amount.parse().ok();
        amount
            .and_then(|amount| amount.checked_mul(unit_ms))
            .map(Duration::from_millis)
            .filter(|grace| *grace <= MAX_GRACE)
            .map(Self)
            .ok_or_else(wrong)
    }
}

impl TryFrom<String> for Grace {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl fmt::Display for Grace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0.as_millis())
    }
}

/// A bound on waiting, written as a [`Grace`] is, and not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Timeout(Grace);

impl Timeout {
    /// The time.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0.get()
    }
}

impl FromStr for Timeout {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let time: Grace = text.parse()?;
        if time.get().is_zero() {
            return Err(ValueError::Zero(printable(text, 64)));
        }
        Ok(Self(time))
    }
}

impl TryFrom<String> for Timeout {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is logged: directives of tracing-subscriber's EnvFilter, `info` by default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LogFilter(String);

impl LogFilter {
    /// The directives.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl FromStr for LogFilter {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match EnvFilter::builder().parse(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(cause) => Err(ValueError::Filter {
                value: printable(text, 200),
                cause,
            }),
        }
    }
}

impl TryFrom<String> for LogFilter {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
