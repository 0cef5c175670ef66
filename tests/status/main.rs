//! The status page: what is on it is what the API says, to whom the API says it, whatever is asked and however. In a browser it is looked at by `.ci/run status`.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: a panic is a failing assertion"
)]

mod bounds;
mod browser;
mod content;
mod crowd;
mod hostile;
mod site;
mod tls;
mod trouble;
mod who;
