//! The node for people: what is true of all platforms, a table of them, and what was found for each.
//!
//! **Invariant:** nothing is shown that the JSON document lacks.

use std::fmt;

use stagepages_client::addr::Size;

use super::{document::NodeDocument, findings::Findings, platform::PlatformDocument};
use crate::table::Table;

impl fmt::Display for NodeDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}", facts(self), platforms(&self.platforms))?;
        for it in &self.platforms {
            write!(f, "\n\n{}", Findings(it))?;
        }
        Ok(())
    }
}

fn facts(node: &NodeDocument) -> Table<2> {
    let (limits, usage) = (&node.limits, &node.usage);
    let mut facts = Table::bare();
    facts.row(["version".into(), node.version.clone()]);
    facts.row([
        "launches".into(),
        format!(
            "{} of yours, {} of them live; at most {} of everybody{}",
            usage.launches,
            usage.live_launches,
            limits.max_launches,
            if usage.launches_full {
                ", and there are as many"
            } else {
                ""
            }
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
    // All 0 at a daemon that keeps none.
    if limits.image_quota_bytes > 0 {
        facts.row([
            "images".into(),
            format!(
                "{}, {} of {}, one of {} at most",
                usage.images,
                Size(usage.image_bytes),
                Size(limits.image_quota_bytes),
                Size(limits.max_image_bytes)
            ),
        ]);
    }
    for it in &node.platforms {
        if let Some(queue) = &it.queue {
            facts.row([
                format!("queue of {}", it.platform),
                format!(
                    "{} of {} launches with {} pages, empty in {:.1} s at {:.3} ms a page",
                    queue.launches,
                    limits.max_queued_launches,
                    queue.pages,
                    queue.expected_seconds,
                    queue.page_seconds * 1e3
                ),
            ]);
        }
    }
    for it in &node.platforms {
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
    facts
}

fn platforms(platforms: &[PlatformDocument]) -> Table<6> {
    let mut table = Table::new([
        "PLATFORM",
        "AVAILABLE",
        "CONFIDENTIAL",
        "DIGEST",
        "RUNS GUESTS",
        "PAGE TYPES",
    ]);
    for it in platforms {
        let digest = if it.launch_digest_bytes == 0 {
            "none".into()
        } else {
            format!("{} bytes", it.launch_digest_bytes)
        };
        table.row([
            it.platform.clone(),
            yes(it.available),
            yes(it.confidential),
            digest,
            yes(it.runs_guests),
            it.page_types.join(" "),
        ]);
    }
    table
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.into()
}
