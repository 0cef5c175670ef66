//! stagepagesd: supervisor, daemon and launch host in one binary. (Crate documentation follows.)
#![forbid(unsafe_code)]

pub mod audit;
pub mod auth;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod rpc;
pub mod status_page;
pub mod supervisor;
pub mod trace;
