//! `stagectl diff`: where a launch and its image part, in every state that a launch can be in, and two images without a daemon.
use std::path::Path;

use serde_json::{Value, json as value};
use stagepages_proto::v1::{Launch, PageType, Platform};
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, PAGE, api::LaunchState, images::elf, on_platform,
};

use crate::stagectl::{Run, failing_json, json, run, stagectl};
