//! Settings of the confidential platforms, each of them given or left to somebody else: to the image, then to the daemon.
//!
//! ```text
//! asked for ─┬─ over ─▶ what the launch is made with        each setting by itself; two that are not the same: a finding
//! image ─────┘
//! ```
//!
//! **Invariant:** a setting that is given never unsets another one.

use bytes::Bytes;

use crate::{
    hex::digits,
    plan::{Finding, Severity},
};

mod sev_snp;
mod tdx;

pub use sev_snp::SevSnpOptions;
pub use tdx::TdxOptions;

/// A setting that the image has too.
const OVERRIDDEN: &str = "SETTING_OVERRIDDEN";

/// What is asked for, or else what the image says; told, under this code and name, where they do not read the same.
fn choose<T: Clone>(
    (code, name): (&'static str, &str),
    [asked, image]: [&Option<T>; 2],
    text: impl Fn(&T) -> String,
    findings: &mut Vec<Finding>,
) -> Option<T> {
    let texts = { asked.as_ref().map(&text) }.zip(image.as_ref().map(&text));
    if let Some((asked, image)) = texts.filter(|(asked, image)| asked != image) {
        let text = format!(
            "the image's {name} is {image}, and {asked} was asked for and is taken; leave the option out for the image's"
        );
        findings.push(Finding::new(Severity::Warning, code, text));
    }
    asked.as_ref().or(image.as_ref()).cloned()
}

fn number(number: &u64) -> String {
    format!("{number:#x}")
}

fn hex(bytes: &Bytes) -> String {
    digits(bytes)
}
