//! `stagectl node`: what this machine and its daemon can do, and what is missing.
//!
//! **Invariant:** shows every platform that the daemon knows, available or not.

use std::fmt;

use serde::Serialize;
use stagepages_client::{addr::Size, v1, words};

use crate::{cli::Context, failure::Failure, table::Table};

/// Runs it.
pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let info = context.client().await?.node_info().await?;
    Ok(context.output.document(&NodeDocument::from(&info))?)
}

#[derive(Debug, Serialize)]
struct NodeDocument {
    version: String,
    platforms: Vec<PlatformDocument>,
    limits: LimitsDocument,
    usage: UsageDocument,
}

#[derive(Debug, Serialize)]
struct PlatformDocument {
    platform: String,
    available: bool,
    confidential: bool,
    page_types: Vec<String>,
    launch_digest_bytes: u32,
    verifies_contents: bool,
    runs_guests: bool,
    host_program: Option<String>,
    checks: Vec<CheckDocument>,
}

#[derive(Debug, Serialize)]
struct CheckDocument {
    subject: String,
    ok: bool,
    found: String,
    remedy: String,
}

#[derive(Debug, Serialize)]
struct LimitsDocument {
    max_message_bytes: u64,
    max_data_bytes: u64,
    max_regions: u32,
    max_memory_bytes: u64,
    max_launches: u32,
    max_pending_calls: u32,
    chunk_pages: u32,
    replay_window: u32,
    max_lease_seconds: u64,
    default_lease_seconds: u64,
    receive_budget_bytes: u64,
    max_vcpus: u32,
    console_buffer_bytes: u32,
}

#[derive(Debug, Serialize)]
struct UsageDocument {
    launches: u32,
    live_launches: u32,
    draining: bool,
}

impl From<&v1::GetNodeInfoResponse> for NodeDocument {
    fn from(info: &v1::GetNodeInfoResponse) -> Self {
        let limits = info.limits.unwrap_or_default();
        let usage = info.usage.unwrap_or_default();
        Self {
            version: info.version.clone(),
            platforms: info.platforms.iter().map(PlatformDocument::from).collect(),
            limits: LimitsDocument {
                max_message_bytes: limits.max_message_bytes,
                max_data_bytes: limits.max_data_bytes,
                max_regions: limits.max_regions,
                max_memory_bytes: limits.max_memory_bytes,
                max_launches: limits.max_launches,
                max_pending_calls: limits.max_pending_calls,
                chunk_pages: limits.chunk_pages,
                replay_window: limits.replay_window,
                max_lease_seconds: limits.max_lease_seconds,
                default_lease_seconds: limits.default_lease_seconds,
                receive_budget_bytes: limits.receive_budget_bytes,
                max_vcpus: limits.max_vcpus,
                console_buffer_bytes: limits.console_buffer_bytes,
            },
            usage: UsageDocument {
                launches: usage.launches,
                live_launches: usage.live_launches,
                draining: usage.draining,
            },
        }
    }
}

impl From<&v1::PlatformInfo> for PlatformDocument {
    fn from(info: &v1::PlatformInfo) -> Self {
        let check = |check: &v1::Check| CheckDocument {
            subject: check.subject.clone(),
            ok: check.ok,
            found: check.found.clone(),
            remedy: check.remedy.clone(),
        };
        Self {
            platform: words::platform(info.platform).into(),
            available: info.available,
            confidential: info.confidential,
            page_types: info
                .page_types
                .iter()
                .map(|value| words::page_type(*value).into())
                .collect(),
            launch_digest_bytes: info.launch_digest_bytes,
            verifies_contents: info.verifies_contents,
            runs_guests: info.runs_guests,
            host_program: (!info.host_program.is_empty()).then(|| info.host_program.clone()),
            checks: info.checks.iter().map(check).collect(),
        }
    }
}

impl fmt::Display for NodeDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut platforms = Table::new([
            "PLATFORM",
            "AVAILABLE",
            "CONFIDENTIAL",
            "DIGEST",
            "RUNS GUESTS",
            "PAGE TYPES",
        ]);
        for it in &self.platforms {
            let digest = if it.launch_digest_bytes == 0 {
                "none".into()
            } else {
                format!("{} bytes", it.launch_digest_bytes)
            };
            platforms.row([
                it.platform.clone(),
                yes(it.available),
                yes(it.confidential),
                digest,
                yes(it.runs_guests),
                it.page_types.join(" "),
            ]);
        }
        let mut missing = Table::new(["MISSING FOR", "WHAT", "FOUND", "WAY OUT"]);
        let checks = self
            .platforms
            .iter()
            .flat_map(|it| it.checks.iter().map(move |check| (it, check)));
        let mut lacks = checks.filter(|(_, check)| !check.ok).peekable();
        let complete = lacks.peek().is_none();
        for (it, check) in lacks {
            missing.row([
                it.platform.clone(),
                check.subject.clone(),
                check.found.clone(),
                check.remedy.clone(),
            ]);
        }
        let (limits, usage) = (&self.limits, &self.usage);
        let mut facts = Table::bare();
        facts.row(["version".into(), self.version.clone()]);
        facts.row([
            "launches".into(),
            format!(
                "{} of {}, {} live",
                usage.launches, limits.max_launches, usage.live_launches
            ),
        ]);
        facts.row([
            "memory of one launch".into(),
            format!(
                "{} in {} regions at most",
                Size(limits.max_memory_bytes),
                limits.max_regions
            ),
        ]);
        facts.row([
            "one call".into(),
            format!(
                "{} of data, a message of {}, at most",
                Size(limits.max_data_bytes),
                Size(limits.max_message_bytes)
            ),
        ]);
        facts.row([
            "one launch".into(),
            format!(
                "{} calls waiting at most, {} pages between looks",
                limits.max_pending_calls, limits.chunk_pages
            ),
        ]);
        facts.row([
            "one guest".into(),
            format!(
                "{} vCPUs at most, {} of console output kept",
                limits.max_vcpus,
                Size(limits.console_buffer_bytes.into())
            ),
        ]);
        for it in &self.platforms {
            if let Some(program) = &it.host_program {
                facts.row([format!("host program of {}", it.platform), program.clone()]);
            }
        }
        if usage.draining {
            facts.row([
                "draining".into(),
                "yes: new launches are refused, the daemon is shutting down".into(),
            ]);
        }
        write!(f, "{facts}\n\n{platforms}")?;
        if complete {
            Ok(())
        } else {
            write!(f, "\n\n{missing}")
        }
    }
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.into()
}
