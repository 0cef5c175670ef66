//! Values on the command line: the enum words, labels, times, digests.
//!
//! **Invariant:** a value is taken exactly as typed or refused with the value named; nothing is guessed.

use std::time::Duration;

use clap::ValueEnum;
use stagepages_client::{LaunchRef, addr::ParseError, v1};

pub(crate) mod hex;
pub(crate) mod image;
pub(crate) mod sev_snp;
pub(crate) mod tdx;

/// A launch, on the command line of every command that is about one.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// The launch: vm-1 or launches/vm-1.
    #[arg(value_name = "LAUNCH")]
    launch: String,
    /// Refuse unless the launch has this uid, so that a late command never hits a later launch of the same name.
    #[arg(long, value_name = "UID")]
    uid: Option<String>,
}

impl Target {
    /// The launch that is meant.
    pub(crate) fn launch(&self) -> LaunchRef {
        LaunchRef::from(self.launch.as_str()).with_uid(self.uid.clone().unwrap_or_default())
    }
}

/// Declares the words for an enum of the API.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident for $api:ident { $($(#[$variant_doc:meta])* $variant:ident,)+ })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
            pub(crate) enum $name { $($(#[$variant_doc])* $variant,)+ }

            impl From<$name> for v1::$api {
                fn from(word: $name) -> Self {
                    match word { $($name::$variant => Self::$variant,)+ }
                }
            }
        )+
    };
}

words! {
    /// A platform.
    Platform for Platform {
        /// A model in memory, for tests and development; not confidential
        Sim,
        /// A KVM VM with plain guest_memfd; not confidential
        Kvm,
        /// AMD SEV-SNP
        SevSnp,
        /// Intel TDX
        Tdx,
    }
    /// A page type.
    PageType for PageType {
        /// Contents from the file, or zeros; measured
        Normal,
        /// Contents from the file; only the GPA is measured
        Unmeasured,
        /// A CPUID table from the file, checked by firmware
        Cpuid,
        /// Zeros, made by the platform
        Zero,
        /// Written by firmware
        Secrets,
    }
    /// A launch's state.
    State for LaunchState { Created, Staging, Finished, Running, Stopped, Aborted, }
}

/// In which order a launch takes pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ordering {
    /// As they come
    Unordered,
    /// By the number that each call carries, so that the launch digest is what the client plans
    Sequenced,
}

impl From<Ordering> for v1::OrderingMode {
    fn from(ordering: Ordering) -> Self {
        match ordering {
            Ordering::Unordered => Self::Unordered,
            Ordering::Sequenced => Self::Sequenced,
        }
    }
}

/// Whose pages go first where the machine's firmware installs one page at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Priority {
    /// Behind all others, but never not at all
    Low,
    /// As launches are unless somebody says otherwise
    Normal,
    /// Before all others
    High,
}

impl From<Priority> for v1::LaunchPriority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Low => Self::Low,
            Priority::Normal => Self::Normal,
            Priority::High => Self::High,
        }
    }
}

/// An order of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// Ascending GPA
    Gpa,
    /// As installed, which is the order of the launch digest
    Installation,
}

impl From<Order> for v1::LedgerOrder {
    fn from(order: Order) -> Self {
        match order {
            Order::Gpa => Self::Gpa,
            Order::Installation => Self::Installation,
        }
    }
}

/// A label, `KEY=VALUE`.
pub(crate) fn label(text: &str) -> Result<(String, String), ParseError> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(ParseError::new(text, "a label", "KEY=VALUE")),
    }
}

/// A time with its unit: `250us`, `1ms`, `30s`, `5m`, `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, ParseError> {
    let wrong = || {
        ParseError::new(
            text,
            "a time",
            "a whole number with its unit: ns, us, ms, s, m or h (1ms, 30s)",
        )
    };
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (digits, unit) = text.split_at(unit_at);
    let number: u64 = digits.parse().or(Err(wrong()))?;
    match unit {
        "ns" => Some(Duration::from_nanos(number)),
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
    .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_a_key_and_perhaps_an_empty_value() {
        assert_eq!(label("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert_eq!(label("a=").unwrap(), ("a".into(), String::new()));
        assert!(label("=b").is_err() && label("a").is_err());
    }

    #[test]
    fn times_need_a_unit() {
        assert_eq!(duration("1ms"), Ok(Duration::from_millis(1)));
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        for text in [
            "",
            "1",
            "ms",
            "-1s",
            "1.5s",
            "1 s",
            "1d",
            "99999999999999999999s",
            "18446744073709551615m",
        ] {
            assert!(
                duration(text)
                    .unwrap_err()
                    .to_string()
                    .contains(&format!("`{text}`"))
            );
        }
    }
}
